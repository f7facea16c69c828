//! How does Telegram reach the agent?
//!
//! What is here so far: [`Settings`], and [`render`], which makes of a model's Markdown the messages
//! that Telegram shows: plain text and [`Entity`]s rather than markup, so that no text can be
//! malformed, in pieces that each fit into one message. The channel itself is not here yet.
//!
//! ```
//! use ash_telegram::{Entity, EntityKind, render};
//!
//! let pieces = render("It is **done**:\n\n```sh\nls\n```");
//! assert_eq!(pieces.len(), 1);
//! assert_eq!(pieces[0].text, "It is done:\n\nls");
//! assert_eq!(
//!     pieces[0].entities,
//!     [
//!         Entity { kind: EntityKind::Bold, offset: 6, length: 4 },
//!         Entity { kind: EntityKind::Pre { language: Some("sh".into()) }, offset: 13, length: 2 },
//!     ],
//! );
//! ```

mod piece;

mod render;
mod table;
mod writer;

mod split;

mod settings;

pub use piece::{Entity, EntityKind, Piece};
pub use render::render;
pub use settings::{AllowedUser, GroupId, Settings, Username, WebAddress};
