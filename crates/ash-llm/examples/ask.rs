//! Asks one question and prints the answer as it comes.
//!
//! ```text
//! cargo run -p ash-llm --example ask -- "hello"
//! ANTHROPIC_API_KEY=… cargo run -p ash-llm --example ask -- --model anthropic/claude-sonnet-4-6 "hello"
//! ```
#![expect(clippy::print_stdout, reason = "the answer goes to standard output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use ash_llm::{LlmEvent, Message, Registry, Request, cost};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut id = "offline/offline".to_owned();
    if words.len() > 2 && words[0] == "--model" {
        id.clone_from(&words[1]);
        words.drain(..2);
    }

    let registry = Registry::new(&BTreeMap::new(), &|name| std::env::var(name).ok())?;
    let model = registry.model(&id)?;
    let request = Request {
        model: model.name.clone(),
        messages: vec![Message::user(words.join(" "))],
        max_tokens: 1000,
        ..Request::default()
    };

    let mut events = model
        .provider
        .stream(request, CancellationToken::new())
        .await?;
    while let Some(event) = events.next().await {
        match event? {
            LlmEvent::TextDelta(text) => print!("{text}"),
            LlmEvent::Done(completion) => {
                let usage = completion.usage;
                print!(
                    "\n\n[{id}: {} tokens in, {} out",
                    usage.prompt(),
                    usage.output
                );
                match cost(&id, &usage) {
                    Some(cost) => println!(", {cost}]"),
                    None => println!("]"),
                }
            }
            LlmEvent::Retrying { error, delay } => println!("[{error}; again in {delay:?}]"),
            LlmEvent::FellBack { .. } | LlmEvent::ThinkingDelta(_) => {}
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
