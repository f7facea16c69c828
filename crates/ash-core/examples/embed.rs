//! An agent with a tool of its own, in a program of yours: `cargo run -p ash-core --example embed`
#![expect(clippy::print_stdout, reason = "a program, not a library")]
use std::{error::Error, sync::Arc};

use ash_core::{Agent, Arguments, Event, Key, Tool, ToolContext, ToolError, ToolOutput};
use ash_llm::{Model, Offline, ToolSpec};
use ash_memory::{Memory, OpenOptions};
use serde_json::json;

struct Birthdays;

#[async_trait::async_trait]
impl Tool for Birthdays {
    fn spec(&self) -> ToolSpec {
        let schema = json!({"type": "object", "properties": {"query": {"type": "string"}}});
        ToolSpec::new("recall", "Knows the birthdays of friends.", schema)
    }

    async fn call(&self, _: &ToolContext, args: Arguments) -> Result<ToolOutput, ToolError> {
        let name = args["query"].as_str().unwrap_or("Nobody");
        Ok(ToolOutput::text(format!("{name} was born on 9 May.")))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let memory = Memory::open_in_memory(OpenOptions::default())?;
    let model = Model::new(Arc::new(Offline), "offline");
    let agent = Agent::builder(model, memory).tool(Birthdays).build();
    let (session, mut events) = agent.open(Key::private("embedded", "main", "me")).await?;
    session.say("What do you know about Anna?").await?;
    while let Some(stamped) = events.recv().await {
        if let Event::TurnFinished(finished) = stamped.event {
            println!("{}", finished.reply);
            break;
        }
    }
    Ok(())
}
