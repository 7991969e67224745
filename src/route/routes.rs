//! The list of all routes, which a reload of the configuration changes.

use super::runtime::Route;
use std::{future::pending, sync::Arc};
use tokio::sync::watch;

type List = Arc<[Arc<Route>]>;

/// All routes of the process: those of the configuration, in their order, and those that are leaving. No two have the same name.
#[derive(Debug)]
pub struct Routes(watch::Sender<List>);

impl Routes {
    /// These routes.
    #[must_use]
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        Self(watch::Sender::new(routes.into()))
    }

    /// The routes as they are now.
    #[must_use]
    pub fn all(&self) -> Arc<[Arc<Route>]> {
        Arc::clone(&self.0.borrow())
    }

    /// The route with this name; `None` if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Route>> {
        find(&self.0.borrow(), name).cloned()
    }

    /// Puts other routes in the place of all.
    pub fn set(&self, routes: Vec<Arc<Route>>) {
        self.0.send_replace(routes.into());
    }

    /// Removes a route. False if it is not there any more, or if other settings have taken its place.
    pub fn remove(&self, route: &Arc<Route>) -> bool {
        self.0.send_if_modified(|list| {
            let others = list.iter().filter(|other| !Arc::ptr_eq(other, route));
            let others: List = others.cloned().collect();
            let is_there = others.len() < list.len();
            *list = others;
            is_there
        })
    }

    /// Follows a route through its changes.
    #[must_use]
    pub fn follow(&self, route: Arc<Route>) -> Following {
        Following {
            route,
            list: self.0.subscribe(),
        }
    }
}

fn find<'l>(list: &'l [Arc<Route>], name: &str) -> Option<&'l Arc<Route>> {
    list.iter().find(|route| route.name() == name)
}

/// One route, which may change. See [`Routes::follow`].
#[derive(Clone, Debug)]
pub struct Following {
    route: Arc<Route>,
    list: watch::Receiver<List>,
}

impl Following {
    /// The route as it is now. A route that was removed stays as it was.
    pub fn update(&mut self) -> Arc<Route> {
        if let Some(now) = find(&self.list.borrow_and_update(), self.route.name()) {
            self.route = Arc::clone(now);
        }
        Arc::clone(&self.route)
    }

    /// Whether the route is not what the last update returned.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let now = find(&self.list.borrow(), self.route.name()).cloned();
        now.is_some_and(|now| !Arc::ptr_eq(&now, &self.route))
    }

    /// Waits until the route is not what the last update returned.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        loop {
            self.list.mark_unchanged();
            if self.has_changed() {
                return;
            }
            if self.list.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    }
}
