//! What a model reads when it searches the history: `cargo run -p ash-tools --example search -- nuts`
#![expect(clippy::print_stdout, reason = "a program, not a library")]

use std::error::Error;

use ash_core::{Tool, ToolContext};
use ash_llm::ResultContent;
use ash_memory::{
    ChatKind, Memory, NewMessage, NewSession, OpenOptions, Record, Role, TurnId, Viewer,
};
use ash_tools::SearchHistory;
use jiff::tz::TimeZone;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let query = std::env::args().nth(1).unwrap_or_else(|| "nuts".to_owned());
    let memory = Memory::open_in_memory(OpenOptions::default())?;
    let session = memory
        .open_session(NewSession {
            provider: "terminal".to_owned(),
            chat_id: "main".to_owned(),
            user_id: "terminal:owner".to_owned(),
            kind: ChatKind::Private,
        })
        .await?;
    let lines = [
        (Role::User, "my sister Anna is allergic to nuts"),
        (Role::Assistant, "Good to know: no nuts for Anna."),
    ];
    let messages = lines
        .map(|(role, text)| Record::Message(NewMessage::new(session.id.clone(), role, text)))
        .to_vec();
    memory.record(messages).await?;

    let ctx = ToolContext {
        viewer: Viewer::Chat {
            session: session.id,
            user_id: session.user_id,
            private: true,
        },
        turn: TurnId::generate(),
        cancel: CancellationToken::new(),
    };
    let arguments = Map::from_iter([("query".to_owned(), json!(query))]);
    let output = SearchHistory::new(memory, TimeZone::UTC)
        .call(&ctx, arguments)
        .await?;
    for part in output.content {
        if let ResultContent::Text { text } = part {
            println!("{text}");
        }
    }
    Ok(())
}
