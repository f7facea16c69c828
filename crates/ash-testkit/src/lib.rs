//! What do the tests of Ash talk to instead of a model?
//!
//! Fake servers speak a vendor's protocol over loopback, refuse what the vendor refuses, with its
//! statuses and error bodies, keep every request, and answer by a script:
//!
//! ```
//! # async fn example() {
//! use ash_testkit::{FakeAnthropic, Reply};
//!
//! let server = FakeAnthropic::start().await;
//! server.enqueue(Reply::text("Hello").chunked(2).cut_after_bytes(700));
//! // Point the code under test to `server.url()` with the key `ash_testkit::KEY`.
//! # }
//! ```
//!
//! [`FakeAnthropic`] speaks Messages; [`FakeOpenAi`] speaks Responses, Chat Completions (in the
//! [`Dialect`]s of the servers that copy it) and Embeddings. `examples/fake_models.rs` serves them
//! to real processes.
//!
//! [`ScriptedModel`] is a provider without a socket, for tests of what stands above the wire. It
//! refuses a history that some provider would refuse, and so does [`check_history`].

mod scripted;

mod answer;
mod history;

mod server;

mod reply;
mod wire;

mod anthropic;
mod openai;

mod delivery;
mod http;
mod proof;

pub use answer::Answer;
pub use anthropic::{Anthropic, FakeAnthropic};
pub use history::{check_history, check_prefix, check_request};
pub use http::Recorded;
pub use openai::{Dialect, FakeOpenAi, OpenAi};
pub use reply::Reply;
pub use scripted::ScriptedModel;
pub use server::{Fake, KEY, Protocol};
pub use wire::check_wire_prefix;
