//! The Responses protocol, without state at the server: each request carries the whole conversation.

mod answer;
mod request;

pub(super) use answer::Answer;
pub(super) use request::body;
