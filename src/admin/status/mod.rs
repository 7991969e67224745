//! The status page at `/` of the admin endpoint, and the same as JSON at `/status.json`.
//!
//! `collect` reads what the process knows when somebody asks, and nothing before: there is no timer and no history here. Whoever looks
//! takes rates from two looks. `shape` is what is told, `advice` says what to do about it, `page` writes it as HTML, with `routes`,
//! `parts` and `html`, and `answers` are the HTTP answers. `words` are numbers and times for people. `page.js` and `page.css` are parts
//! of the page.

mod advice;
pub(super) mod answers;
pub(super) mod collect;
mod html;
mod page;
mod parts;
mod routes;
pub mod shape;
pub(crate) mod words;

pub use shape::Status;
