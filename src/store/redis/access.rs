//! What an attempt to connect to Redis needs: the address with its password, and TLS. The files that the settings name are read anew
//! for each attempt.

use super::{
    limits::tcp,
    settings::{NOUN, RedisConfig},
    url::RedisUrl,
};
use crate::{
    settings::{Problem, address, secret_file},
    tls::{ClientTls, ClientTlsFiles, Identity, client_config},
    util::FileReads,
};
use redis::{Client, ClientTlsConfig, RedisError, TlsCertificates};

/// See the module. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// The server, or some nodes of the Cluster; at least one.
    pub(super) urls: Vec<RedisUrl>,
    tls: Option<ClientTlsFiles>,
}

impl Access {
    /// What the files say now.
    ///
    /// # Errors
    ///
    /// What is wrong, and the key of the file.
    pub(super) async fn read(config: &RedisConfig, reads: &FileReads) -> Result<Self, String> {
        if !config.has_files() {
            return Ok(Self {
                urls: config.urls.clone(),
                tls: None,
            });
        }
        let config = config.clone();
        let read = reads.run(move || Self::read_now(&config)).await?;
        read.map_err(|problem| problem.to_string())
    }

    /// Reads the files. It may block.
    ///
    /// # Errors
    ///
    /// The first file that can't be used, with the key that names it.
    pub(super) fn read_now(config: &RedisConfig) -> Result<Self, Problem> {
        let mut urls = config.urls.clone();
        if let Some(path) = &config.url_file {
            let wrong = |rule: String| Problem::about("store.url_file", rule);
            let refused = |why: String| wrong(format!("the {NOUN} in the file {path:?} {why}"));
            let text = secret_file::read_text(path).map_err(wrong)?;
            let url: RedisUrl = address::parse(&text, path, NOUN).map_err(wrong)?;
            config.check(&url).map_err(refused)?;
            if let Some(first) = config
                .urls
                .first()
                .filter(|first| !url.is_same_place(first))
            {
                let why = format!(
                    "is not that of {first}, which this process uses; restart the bridge to use another Redis"
                );
                return Err(refused(why));
            }
            urls = vec![url];
        }
        let tls = config.tls.as_ref().map(ClientTls::read_files);
        let tls = tls.transpose()?;
        if let Some(files) = &tls {
            // The client library tells less of what is wrong, and takes an empty file for no certificate.
            client_config(files)?;
        }
        Ok(Self { urls, tls })
    }

    /// A client of one server.
    pub(super) fn client(&self, url: &RedisUrl) -> Result<Client, RedisError> {
        let info = url.inner().set_tcp_settings(tcp());
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    /// The files for TLS, for the client library; `None` for what the system trusts.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        let ClientTlsFiles { ca, identity, .. } = self.tls.clone()?;
        let shown = |Identity { certificates, key }| ClientTlsConfig {
            client_cert: certificates,
            client_key: key,
        };
        Some(TlsCertificates {
            client_tls: identity.map(shown),
            root_cert: ca,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_attempt_has_the_password_that_the_file_holds_now_but_no_other_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("url");
        let write = |text: &str| std::fs::write(&file, text).expect("writable");
        let url = |text: &str| -> RedisUrl { text.parse().expect("a URL") };
        let first = "redis://u:old@h/1";
        let config = RedisConfig {
            url_file: Some(file.clone()),
            ..RedisConfig::at(vec![url(first)], false, "p".to_owned())
        };
        let reads = FileReads::default();
        for text in [first, "redis://u:new@h/1\n", "redis://other:newer@h:6379/1"] {
            write(text);
            let access = Access::read(&config, &reads).await.expect(text);
            assert!(access.urls == [url(text.trim())], "{text:?}");
        }
        for (text, said) in [
            ("redis://u:hunter2@i/1", "is not that of redis://u@h:6379/1"),
            ("redis://u:hunter2@h/2", "is not that of redis://u@h:6379/1"),
            ("redis://u:hunter2@h:1/1", "restart the bridge"),
            ("u:hunter2@h", "must begin with redis://"),
            ("\n", "is empty"),
        ] {
            write(text);
            let why = Access::read(&config, &reads).await.err().expect(text);
            assert!(
                why.starts_with("store.url_file: the ") && why.contains(said),
                "{why}"
            );
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
