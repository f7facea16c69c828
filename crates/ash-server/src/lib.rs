//! What does the daemon show over HTTP?
//!
//! What is here so far: [`Settings`], and a [`router`] that tells whoever watches the daemon that it
//! lives (`GET /healthz`) and that it can work (`GET /readyz`). Every answer is JSON, also that
//! something is not there.
//!
//! ```no_run
//! use ash_memory::{Memory, OpenOptions};
//! use ash_server::{Settings, router};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::default();
//! let memory = Memory::open("memory.db", OpenOptions::default())?;
//! let listener = tokio::net::TcpListener::bind((settings.host.as_str(), settings.port)).await?;
//! axum::serve(listener, router(memory)).await?;
//! # Ok(())
//! # }
//! ```

mod router;

mod settings;

pub use router::router;
pub use settings::Settings;
