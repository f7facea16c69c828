//! Where does a command run, and what can it reach?
//!
//! A [`Sandbox`] runs an [`Exec`] for a [`Scope`] and returns an [`Output`]. It fails closed: a
//! sandbox that cannot hold a command does not run it. This crate has no backend yet; it has the
//! contract that every backend keeps, and what they share: [`Capture`], which bounds and cleans what
//! a command writes, and [`Settings`].
//!
//! ```
//! use ash_sandbox::Capture;
//!
//! let mut stdout = Capture::new(16);
//! for chunk in ["\x1b[32mone", "\x1b[0m two three four five six"] {
//!     stdout.push(chunk.as_bytes());
//! }
//! let captured = stdout.finish();
//! assert_eq!(captured.text, "one\n[... 20 bytes omitted ...]\nfive six");
//! assert_eq!(captured.omitted_bytes, 20);
//! ```

mod sandbox;

mod capture;
mod clean;

mod settings;
mod size;

mod error;

pub use capture::{Capture, Captured, OUTPUT_LIMIT};
pub use error::SandboxError;
pub use sandbox::{Chunk, Enforced, Exec, Output, Sandbox, Scope, Status, Stream, Strength};
pub use settings::{Backend, Settings};
pub use size::Size;
