//! Keeps a note in a file of its own and finds it again: `cargo run -p ash-memory --example keep`.
#![expect(clippy::print_stdout, reason = "it is for a person to see")]

use ash_memory::{
    ChatKind, Memory, MemoryError, MessageQuery, NewMessage, NewSession, OpenOptions, Record, Role,
    Viewer,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let path = home.path().join("memory.db");

    let memory = Memory::open(&path, OpenOptions::default())?;
    let session = memory
        .open_session(NewSession {
            provider: "terminal".into(),
            chat_id: "main".into(),
            user_id: "terminal:owner".into(),
            kind: ChatKind::Private,
        })
        .await?;
    let lease = memory.lease(&session.id, "the example").await?;
    for (role, text) in [
        (
            Role::User,
            "remember that my sister Anna is allergic to nuts",
        ),
        (Role::Assistant, "I will remember that."),
    ] {
        let message = NewMessage::new(session.id.clone(), role, text);
        lease.record(vec![Record::Message(message)]).await?;
    }

    // A second opening stands for a second process.
    let other = Memory::open(&path, OpenOptions::default())?;
    match other.lease(&session.id, "somebody else").await {
        Err(busy @ MemoryError::Busy { .. }) => println!("{busy}"),
        other => println!("nobody speaks: {other:?}"),
    }
    let viewer = Viewer::Chat {
        session: session.id.clone(),
        user_id: session.user_id.clone(),
        private: true,
    };
    let query = MessageQuery::new("what is Anna allergic to?", viewer);
    for hit in other.search_messages(query).await? {
        println!("{:.2}  {}", hit.score, hit.message.content);
    }
    Ok(())
}
