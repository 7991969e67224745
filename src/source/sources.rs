//! Makes the sources of all routes from the clients that they share.

use super::{
    aws::{AwsConfig, BadCaBundle},
    contract::Source,
    settings::SourceConfig,
    step_functions::{self, SfnClients, SfnOptions, StepFunctions, StepFunctionsConfig},
    swf::{Discover, Swf, SwfClients, SwfConfig, SwfOptions},
};
use crate::{task::Timeouts, util::host};
use std::sync::{Arc, OnceLock};

/// Why there are no clients.
#[derive(Debug, thiserror::Error)]
pub enum NoSources {
    /// No region is known: neither from the configuration nor from the AWS chain.
    #[error("no AWS region is known: set aws.region, or AWS_REGION")]
    NoRegion,
    /// `AWS_CA_BUNDLE` names a file that can't be used.
    #[error(transparent)]
    BadCaBundle(#[from] BadCaBundle),
}

/// The options for the source of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceOptions<'a> {
    /// The route's name.
    pub route: &'a str,
    /// The settings of the source.
    pub source: &'a SourceConfig,
    /// The configured timeouts.
    pub timeouts: Timeouts,
    /// Which timeouts are asked of AWS.
    pub discover: Discover,
}

/// What the sources of all routes share. The clients of a service are made for the first route of that service.
pub struct Sources {
    aws: AwsConfig,
    swf: OnceLock<SwfClients>,
    step_functions: OnceLock<SfnClients>,
    host: String,
}

impl Sources {
    /// Loads the AWS configuration. The credentials are loaded with the first call.
    ///
    /// # Errors
    ///
    /// If no region is known, because without a region there is no endpoint; or if a file that the environment names can't be used.
    pub async fn load(region: Option<&str>) -> Result<Self, NoSources> {
        Self::new(AwsConfig::load(region).await?)
    }

    /// Makes the sources from a configuration.
    ///
    /// # Errors
    ///
    /// If no region is known.
    pub fn new(aws: AwsConfig) -> Result<Self, NoSources> {
        let region = aws.sdk().region();
        if region.is_none_or(|region| region.as_ref().is_empty()) {
            return Err(NoSources::NoRegion);
        }
        Ok(Self {
            aws,
            swf: OnceLock::new(),
            step_functions: OnceLock::new(),
            host: host(),
        })
    }

    /// The source of one route.
    #[must_use]
    pub fn for_route(&self, options: SourceOptions<'_>) -> Arc<dyn Source> {
        let SourceOptions {
            route,
            source,
            timeouts,
            discover,
        } = options;
        let pid = std::process::id();
        match source {
            SourceConfig::Swf(SwfConfig { domain, task_list }) => {
                let clients = self.swf.get_or_init(|| SwfClients::new(&self.aws));
                let options = SwfOptions {
                    domain,
                    task_list,
                    identity: format!("activity-bridge {}@{}:{pid}", route, self.host),
                    timeouts,
                    discover,
                };
                Arc::new(Swf::new(clients, options))
            }
            SourceConfig::StepFunctions(StepFunctionsConfig {
                activity_arn,
                result_as,
            }) => {
                let clients = self
                    .step_functions
                    .get_or_init(|| SfnClients::new(&self.aws));
                let options = SfnOptions {
                    activity_arn,
                    worker_name: step_functions::worker_name(route, &self.host, pid),
                    timeouts,
                    result_as: *result_as,
                };
                Arc::new(StepFunctions::new(clients, options))
            }
        }
    }
}
