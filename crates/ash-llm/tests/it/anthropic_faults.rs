//! What goes wrong on the way to a server of the Messages protocol.

use std::sync::Arc;
use std::time::Duration;

use ash_llm::{
    Anthropic, AnthropicSettings, Auth, ErrorKind, LlmEvent, LlmProvider, RetrySettings, Retrying,
    StopReason, Timeouts, collect,
};
use ash_testkit::{FakeAnthropic, KEY, Reply};
use futures_util::StreamExt;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::anthropic::{ask, provider, request};

#[tokio::test]
async fn an_answer_that_stops_anywhere_before_its_end_is_never_complete() {
    let reply = || {
        Reply::thinking("Hm 🤔.")
            .and_text("Größe")
            .and_tool_call("toolu_1", "look", json!({"where": "ünter"}))
            .chunked(2)
    };
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    let request = request("claude-sonnet-4-6");
    server.enqueue(reply());
    let whole = ask(&provider, &request).await.unwrap();
    let length = server.sent()[0].len();
    let mut complete = 0;
    for count in (0..length).step_by(7).chain(length - 3..length) {
        server.enqueue(match count % 2 {
            0 => reply().end_after_bytes(count),
            _ => reply().cut_after_bytes(count),
        });
        match ask(&provider, &request).await {
            Err(error) => {
                assert!(error.is_retryable(), "{count}: {error}");
                assert_eq!(error.kind, ErrorKind::CutOff, "{count}: {error}");
            }
            // Only the blank line after the last event may be missing.
            Ok(completion) => {
                complete += 1;
                assert!(
                    count + 2 >= length,
                    "complete after {count} of {length} bytes"
                );
                assert_eq!(completion.message.content, whole.message.content);
            }
        }
    }
    assert!(complete <= 2);
    for size in [1, 2, 3, 5, 7, 1000] {
        server.enqueue(reply().in_packets_of(size));
        let completion = ask(&provider, &request).await.unwrap();
        assert_eq!(completion.message.content, whole.message.content);
    }
}

#[tokio::test]
async fn half_a_call_never_arrives() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    let half = || Reply::text("I").and_raw_tool_call("toolu_1", "look", "{\"where\": \"/et");
    server.enqueue(half().stop("max_tokens"));
    let completion = ask(&provider, &request("claude-sonnet-4-6")).await.unwrap();
    assert_eq!(completion.stop, StopReason::Length);
    assert_eq!(completion.message.tool_calls().count(), 0);
    server.enqueue(half());
    let error = ask(&provider, &request("claude-sonnet-4-6"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn what_a_server_refuses_is_told_with_its_reason() {
    use ErrorKind as K;
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    for (reply, kind, status) in [
        (Reply::status(400), K::InvalidRequest, Some(400)),
        (Reply::status(401), K::Auth, Some(401)),
        (Reply::status(402), K::Quota, Some(402)),
        (Reply::status(403), K::Auth, Some(403)),
        (Reply::status(404), K::NotFound, Some(404)),
        (Reply::status(409), K::Server, Some(409)),
        (Reply::status(413), K::ContextOverflow, Some(413)),
        (Reply::status(429), K::RateLimited, Some(429)),
        (Reply::status(500), K::Server, Some(500)),
        (Reply::status(504), K::Timeout, Some(504)),
        (Reply::status(529), K::Overloaded, Some(529)),
        (
            Reply::error_event("overloaded_error", "Overloaded"),
            K::Overloaded,
            None,
        ),
        (Reply::error_event("api_error", "Oops"), K::Server, None),
        (
            Reply::raw_body(502, "text/html", "<title>Bad</title>"),
            K::Server,
            Some(502),
        ),
        (
            Reply::raw_body(200, "text/html", "<title>Log in</title>"),
            K::Protocol,
            Some(200),
        ),
        (
            Reply::raw_body(200, "application/json", "{}"),
            K::Protocol,
            Some(200),
        ),
        (
            Reply::raw_sse("data: {\"type\": \"message_start\"\n\n"),
            K::Protocol,
            None,
        ),
        (Reply::raw_sse(""), K::CutOff, None),
        (Reply::disconnect(), K::Connect, None),
    ] {
        server.enqueue(reply);
        let error = ask(&provider, &request("claude-sonnet-4-6"))
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.status), (kind, status), "{error}");
        assert_eq!(error.provider, "anthropic");
        assert!(
            !error.message.is_empty() && !error.message.contains('\n'),
            "{error}"
        );
    }
    let wrong_model = ask(&provider, &request("gpt-4o")).await.unwrap_err();
    assert_eq!(
        wrong_model.to_string(),
        "anthropic (HTTP 404): model: gpt-4o"
    );
    assert!(wrong_model.request_id.is_some());
}

#[tokio::test]
async fn a_wrong_key_is_named_and_not_shown() {
    let server = FakeAnthropic::start().await;
    for auth in [Auth::XApiKey, Auth::Bearer] {
        let provider = Anthropic::new(AnthropicSettings {
            base_url: server.url(),
            api_key: Some(SecretString::from("sk-not-this-one")),
            version: Some("2026-10-21".to_owned()),
            auth: Some(auth),
            ..AnthropicSettings::default()
        })
        .unwrap();
        let error = ask(&provider, &request("claude-sonnet-4-6"))
            .await
            .unwrap_err();
        assert!(error.is_auth());
        assert!(!format!("{error} {error:?} {provider:?}").contains("sk-not-this-one"));
    }
}

#[tokio::test]
async fn a_call_that_fails_unseen_is_made_again() {
    let server = FakeAnthropic::start().await;
    let settings = RetrySettings::default();
    let retrying = Retrying::new(Arc::new(provider(&server, None)), settings);
    server.enqueue(Reply::status(429).header("retry-after", "0"));
    server.enqueue(Reply::status(529).header("retry-after-ms", "0"));
    server.enqueue(Reply::text("hi"));
    let completion = retrying
        .complete(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    assert_eq!(completion.unwrap().message.text(), "hi");
    assert_eq!(server.requests().len(), 3);

    server.enqueue(Reply::status(500).header("x-should-retry", "false"));
    let refused = retrying
        .complete(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Server);
    let words = || Reply::text("half an answer").chunked(4);
    let length = server.sent()[2].len();
    server.enqueue(words().cut_after_bytes(length));
    let cut_off = retrying
        .complete(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    assert_eq!(cut_off.unwrap_err().kind, ErrorKind::CutOff);
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_cancelled_call_leaves_the_server_at_once() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    for (round, reply) in [Reply::silence(), Reply::text("hi").stall_after_bytes(300)]
        .into_iter()
        .enumerate()
    {
        server.enqueue(reply);
        let cancel = CancellationToken::new();
        let call = async {
            let stream = provider
                .stream(request("claude-sonnet-4-6"), cancel.clone())
                .await?;
            collect(stream).await
        };
        let stop = async {
            server.wait_for_stalls(round + 1).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(call, stop);
        assert!(outcome.unwrap_err().is_cancelled());
        server.wait_for_hang_ups(round + 1).await;
    }
    // So does one that nobody listens to any more.
    server.enqueue(Reply::text("hi").stall_after_bytes(300));
    let stream = provider
        .stream(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    server.wait_for_stalls(3).await;
    drop(stream);
    server.wait_for_hang_ups(3).await;
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = FakeAnthropic::start().await;
    let timeouts = Timeouts {
        idle: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let provider = Anthropic::new(AnthropicSettings {
        base_url: server.url(),
        api_key: Some(SecretString::from(KEY)),
        timeouts,
        ..AnthropicSettings::default()
    })
    .unwrap();
    for reply in [Reply::silence(), Reply::text("hi").stall_after_bytes(300)] {
        server.enqueue(reply);
        let error = ask(&provider, &request("claude-sonnet-4-6"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert_eq!(
            error.to_string(),
            "anthropic: nothing came for 0.05 seconds"
        );
    }
}

#[tokio::test]
async fn junk_in_an_answer_ends_it_or_does_no_harm() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    for junk in [
        &b"\0"[..],
        b"\xFF\xFE",
        b"\n\n",
        b": comment\n",
        b"data: {\n\n",
        b"\r",
    ] {
        for at in (0..900).step_by(7) {
            server.enqueue(
                Reply::text("hello there")
                    .chunked(3)
                    .garble_after_bytes(at, junk),
            );
            let mut stream = provider
                .stream(request("claude-sonnet-4-6"), CancellationToken::new())
                .await
                .unwrap();
            let mut ends = 0;
            while let Some(event) = stream.next().await {
                ends += usize::from(!matches!(event, Ok(LlmEvent::TextDelta(_))));
            }
            assert_eq!(ends, 1, "{junk:?} at {at}");
        }
    }
}
