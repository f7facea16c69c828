//! What crosses the wire: here what both protocols share, in the modules each of them.

mod chat_answer;
mod embeddings;
mod request;
mod responses_answer;

use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::sse::Decoder;
use crate::{
    Completion, Content, ErrorKind, LlmEvent, Message, ProviderKind, Role, ToolCall, ToolResult,
};

const MODEL_ID: &str = "openai/gpt-6.1-terra";

fn settings(base_url: Option<&str>, api: Api) -> ProviderSettings {
    ProviderSettings {
        base_url: base_url.map(str::to_owned),
        api,
        ..ProviderSettings::new(ProviderKind::Openai)
    }
}

/// Feeds bytes, cut into chunks, up to the last event or the first error; `None` if both are missing
/// at the end of the bytes.
fn read<'a>(
    mut answer: Box<dyn Accumulator>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<LlmEvent>, Option<Result<Completion, LlmError>>) {
    let mut decoder = Decoder::new(1_000_000);
    let mut told = Vec::new();
    let mut events = Vec::new();
    for chunk in chunks {
        for event in decoder.push(chunk).unwrap() {
            match answer.on_event(&event) {
                Ok(more) => told.extend(more),
                Err(error) => return (told, Some(Err(error))),
            }
            if let Some(LlmEvent::Done(completion)) =
                told.pop_if(|last| matches!(last, LlmEvent::Done(_)))
            {
                return (told, Some(Ok(completion)));
            }
        }
    }
    // A last event without its blank line is garbled when the bytes end in the middle of it.
    if let Some(event) = decoder.finish()
        && let Ok(more) = answer.on_event(&event)
    {
        events.extend(more);
    }
    if events.is_empty() {
        match answer.at_end() {
            Ok(more) => events = more,
            Err(error) => return (told, Some(Err(error))),
        }
    }
    told.extend(events);
    match told.pop_if(|last| matches!(last, LlmEvent::Done(_))) {
        Some(LlmEvent::Done(completion)) => (told, Some(Ok(completion))),
        Some(_) | None => (told, None),
    }
}

/// Shows everything that is told, and how it ends.
fn transcript(answer: Box<dyn Accumulator>, bytes: &[u8]) -> String {
    let (told, end) = read(answer, [bytes]);
    let mut lines: Vec<String> = told.iter().map(|event| format!("{event:?}")).collect();
    lines.push(match end {
        Some(Ok(completion)) => {
            let content = completion
                .message
                .content
                .iter()
                .map(|part| format!("\n  {}", json!(part)));
            format!(
                "{:?} {}{}",
                completion.stop,
                counts(&completion),
                content.collect::<String>()
            )
        }
        Some(Err(error)) => format!("{:?}: {error}", error.kind),
        None => "cut off".to_owned(),
    });
    lines.join("\n")
}

fn counts(completion: &Completion) -> String {
    let usage = completion.usage;
    format!(
        "in {} out {} read {} write {}",
        usage.input, usage.output, usage.cache_read, usage.cache_write
    )
}

/// Puts JSON into events.
fn streamed(events: &[Value]) -> String {
    events
        .iter()
        .flat_map(|event| ["data: ".to_owned(), event.to_string(), "\n\n".to_owned()])
        .collect()
}

fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
    }
}

fn call(id: &str, name: &str, arguments: &Value) -> Content {
    Content::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.as_object().unwrap().clone(),
    })
}

fn assistant(origin: &str, content: Vec<Content>) -> Message {
    Message {
        role: Role::Assistant,
        content,
        origin: Some(origin.to_owned()),
    }
}

fn user(content: Vec<Content>) -> Message {
    Message {
        role: Role::User,
        content,
        origin: None,
    }
}

fn result(id: &str, text: &str) -> Content {
    Content::ToolResult(ToolResult::text(id, text, false))
}

/// Tells whether a stream that is cut anywhere is never taken for whole, and whether the way in
/// which the bytes are cut makes no difference.
fn assert_cuts_are_harmless(
    bytes: &[u8],
    whole_from: usize,
    answer: impl Fn() -> Box<dyn Accumulator>,
) {
    let (told, end) = read(answer(), [bytes]);
    let whole = end.unwrap().unwrap();
    for cut in 0..bytes.len() {
        let (left, right) = bytes.split_at(cut);
        let (again, end) = read(answer(), [left, right]);
        assert_eq!(
            (again, end.unwrap().unwrap()),
            (told.clone(), whole.clone()),
            "cut at {cut}"
        );
        match read(answer(), [left]).1 {
            None => assert!(cut <= whole_from, "cut at {cut}"),
            Some(Ok(completion)) => {
                assert!(cut >= whole_from, "cut at {cut}");
                assert_eq!(completion.message, whole.message);
            }
            Some(Err(error)) => panic!("cut at {cut}: {error}"),
        }
    }
    let bytewise = read(answer(), bytes.chunks(1));
    assert_eq!(bytewise.1.unwrap().unwrap(), whole);
}

#[test]
fn openai_itself_is_spoken_to_in_responses_and_others_in_chat() {
    let cases = [
        (None, Api::Auto, Protocol::Responses),
        (None, Api::Chat, Protocol::Chat),
        (
            Some("https://api.openai.com"),
            Api::Auto,
            Protocol::Responses,
        ),
        (
            Some("https://eu.api.openai.com/v1"),
            Api::Auto,
            Protocol::Responses,
        ),
        (
            Some("https://api.openai.com.evil.example/v1"),
            Api::Auto,
            Protocol::Chat,
        ),
        (Some("http://localhost:11434/v1"), Api::Auto, Protocol::Chat),
        (
            Some("http://localhost:8080"),
            Api::Responses,
            Protocol::Responses,
        ),
    ];
    for (base_url, api, expected) in cases {
        let provider = OpenAi::new("openai", &settings(base_url, api), None).unwrap();
        assert_eq!(provider.protocol, expected, "{base_url:?} {api:?}");
    }
}

#[test]
fn an_address_without_a_path_gets_the_usual_version() {
    for (given, used) in [
        ("http://localhost:1234", "http://localhost:1234/v1"),
        ("http://localhost:1234/", "http://localhost:1234/v1"),
        ("http://localhost:1234/v1", "http://localhost:1234/v1"),
        (
            "https://openrouter.ai/api/v1",
            "https://openrouter.ai/api/v1",
        ),
        (
            "https://x.openai.azure.com?api-version=1",
            "https://x.openai.azure.com/v1?api-version=1",
        ),
        ("nonsense", "nonsense"),
    ] {
        assert_eq!(with_version(given), used);
    }
    let error = OpenAi::new("local", &settings(Some("localhost:1"), Api::Auto), None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
}

#[test]
fn a_key_is_in_no_debug_output() {
    let key = SecretString::from("sk-secret");
    for auth in [None, Some(Auth::Bearer), Some(Auth::XApiKey)] {
        let settings = ProviderSettings {
            auth,
            ..settings(None, Api::Auto)
        };
        let provider = OpenAi::new("openai", &settings, Some(&key)).unwrap();
        assert!(!format!("{provider:?}").contains("secret"));
    }
    let wrong = SecretString::from("sk-\u{1}");
    assert_eq!(
        OpenAi::new("openai", &settings(None, Api::Auto), Some(&wrong))
            .unwrap_err()
            .kind,
        ErrorKind::Auth
    );
}

proptest! {
    #[test]
    fn no_stream_panics(
        events in proptest::collection::vec(prop_oneof![an_event(), ".{0,60}"], 0..12),
        chat in any::<bool>(),
    ) {
        let bytes = events.iter().fold(String::new(), |bytes, event| bytes + "data: " + event + "\n\n");
        let request = Request::default();
        let answer: Box<dyn Accumulator> = if chat {
            Box::new(chat::Answer::new("p", "p/m".to_owned(), &request))
        } else {
            Box::new(responses::Answer::new("p", "p/m".to_owned(), &request))
        };
        let (told, end) = read(answer, [bytes.as_bytes()]);
        // What was shown is what was said, whenever there is an end.
        if let Some(Ok(completion)) = end {
            let cut = completion.stop.is_cut_off();
            prop_assert!(!cut || completion.message.tool_calls().next().is_none());
            if chat {
                let shown: String = told.iter().filter_map(|event| match event {
                    LlmEvent::TextDelta(text) => Some(text.as_str()),
                    _ => None,
                }).collect();
                prop_assert_eq!(shown, completion.message.text());
            }
        }
    }
}

/// Events that look right in places.
fn an_event() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        Just(json!("{}")),
        Just(json!("a")),
        Just(json!("{\"n\":1}")),
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(-1)),
        Just(json!(u64::MAX)),
        Just(json!([])),
        Just(json!({})),
    ];
    let key = proptest::sample::select(vec![
        "type",
        "delta",
        "content",
        "index",
        "id",
        "function",
        "name",
        "arguments",
        "tool_calls",
        "finish_reason",
        "choices",
        "usage",
        "prompt_tokens",
        "item",
        "output_index",
        "response",
        "output",
        "error",
        "message",
        "reasoning",
        "reasoning_content",
        "refusal",
        "text",
        "call_id",
        "prompt_tokens_details",
        "cached_tokens",
        "function_call",
        "summary",
        "encrypted_content",
        "status",
        "code",
    ]);
    let kind = proptest::sample::select(vec![
        "response.output_text.delta",
        "response.output_item.done",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
        "message",
        "function_call",
        "reasoning",
        "refusal",
        "stop",
        "length",
        "tool_calls",
    ]);
    let leaf = prop_oneof![4 => word, 1 => kind.prop_map(Value::from)];
    let tree = leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            3 => proptest::collection::vec((key.clone(), inner.clone()), 0..5).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
            1 => proptest::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    });
    prop_oneof![8 => tree.prop_map(|value| value.to_string()), 1 => Just("[DONE]".to_owned())]
}
