use std::sync::Arc;
use std::time::Duration;

use ash_llm::{ErrorKind, Fallback, LlmProvider, Model, RetrySettings, Retrying};
use ash_testkit::{Answer, ScriptedModel};
use tokio_util::sync::CancellationToken;

use super::{read, transcript};

struct Pair {
    first: ScriptedModel,
    second: ScriptedModel,
    fallback: Fallback,
}

fn pair(first: impl IntoIterator<Item = Answer>, second: impl IntoIterator<Item = Answer>) -> Pair {
    let first = ScriptedModel::new(first).named("first");
    let second = ScriptedModel::new(second).named("second");
    let model = |model: &ScriptedModel, name: &str| Model::new(Arc::new(model.clone()), name);
    let fallback = Fallback::new(model(&first, "m"), model(&second, "other"));
    Pair {
        first,
        second,
        fallback,
    }
}

#[tokio::test]
async fn the_second_model_rests_while_the_first_answers() {
    let pair = pair([Answer::text("hi")], []);
    assert_eq!(
        transcript(&pair.fallback).await,
        ["text hi", "done by first/m: hi"]
    );
    assert_eq!(pair.second.requests().len(), 0);
    assert_eq!(pair.fallback.name(), "first");
}

#[tokio::test]
async fn the_second_model_answers_when_the_first_fails_and_nothing_was_shown() {
    for answer in [
        Answer::error(ErrorKind::Server),
        Answer::content([]).then_error(ErrorKind::Overloaded),
        Answer::content([]).then_silence(),
    ] {
        let pair = pair([answer], [Answer::text("hi")]);
        let lines = transcript(&pair.fallback).await;
        assert!(
            lines[0].starts_with("fell back to second/other: first: "),
            "{lines:#?}"
        );
        assert_eq!(lines[1..], ["text hi", "done by second/other: hi"]);
        assert_eq!(pair.second.requests()[0].model, "other");
        assert_eq!(
            pair.second.requests()[0].messages,
            pair.first.requests()[0].messages
        );
    }
}

#[tokio::test]
async fn the_second_model_is_asked_only_where_that_makes_sense() {
    for (kind, asked) in [
        (ErrorKind::Auth, true),
        (ErrorKind::Quota, true),
        (ErrorKind::RateLimited, true),
        (ErrorKind::Overloaded, true),
        (ErrorKind::Server, true),
        (ErrorKind::Connect, true),
        (ErrorKind::Timeout, true),
        (ErrorKind::CutOff, true),
        (ErrorKind::Protocol, true),
        (ErrorKind::NotFound, true),
        (ErrorKind::InvalidRequest, false),
        (ErrorKind::ContextOverflow, false),
        (ErrorKind::Cancelled, false),
        (ErrorKind::Config, false),
    ] {
        let pair = pair([Answer::error(kind)], [Answer::text("hi")]);
        transcript(&pair.fallback).await;
        assert_eq!(pair.second.requests().len(), usize::from(asked), "{kind:?}");
    }
}

#[tokio::test]
async fn an_answer_that_broke_off_is_not_continued_by_another_model() {
    let pair = pair(
        [Answer::text("half").then_error(ErrorKind::CutOff)],
        [Answer::text("hi")],
    );
    assert_eq!(
        transcript(&pair.fallback).await,
        ["text half", "error first: scripted: CutOff"]
    );
}

#[tokio::test]
async fn two_failures_are_both_told() {
    let both = pair(
        [Answer::error(ErrorKind::Auth)],
        [Answer::error(ErrorKind::Connect)],
    );
    let (lines, error) = read(&both.fallback, CancellationToken::new()).await;
    assert_eq!(
        lines[1],
        "error first: scripted: Auth; instead of it, second/other failed too: second: scripted: Connect"
    );
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::Auth);
    assert!(error.is_retryable(), "the second may be back soon");

    let shown = pair(
        [Answer::error(ErrorKind::Auth)],
        [Answer::text("half").then_error(ErrorKind::CutOff)],
    );
    let lines = transcript(&shown.fallback).await;
    assert_eq!(lines[1..], ["text half", "error second: scripted: CutOff"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_model_is_left_alone_for_a_while_after_it_failed() {
    let pair = pair(
        [Answer::error(ErrorKind::Overloaded), Answer::text("back")],
        [Answer::text("one"), Answer::text("two")],
    );
    for answer in ["one", "two"] {
        let lines = transcript(&pair.fallback).await;
        assert_eq!(
            lines[0],
            "fell back to second/other: first: scripted: Overloaded"
        );
        assert_eq!(lines[2], format!("done by second/other: {answer}"));
        tokio::time::sleep(Duration::from_secs(59)).await;
    }
    assert_eq!(transcript(&pair.fallback).await[1], "done by first/m: back");
}

#[tokio::test(start_paused = true)]
async fn the_first_model_is_retried_before_the_second_is_asked() {
    let first = ScriptedModel::new((0..4).map(|_| Answer::error(ErrorKind::Connect)));
    let second = ScriptedModel::new([Answer::text("hi")]).named("second");
    let retrying = Retrying::new(Arc::new(first.clone()), RetrySettings::default());
    let fallback = Fallback::new(
        Model::new(Arc::new(retrying), "m"),
        Model::new(Arc::new(second), "other"),
    );
    let lines = transcript(&fallback).await;
    assert_eq!(first.requests().len(), 4);
    assert!(
        lines[..3]
            .iter()
            .all(|line| line.starts_with("retrying after "))
    );
    assert_eq!(
        lines[3],
        "fell back to second/other: scripted: scripted: Connect (tried 4 times)"
    );
    assert_eq!(lines[5], "done by second/other: hi");
}

#[tokio::test]
async fn a_call_is_cancelled_in_the_second_model_too() {
    let pair = pair([Answer::error(ErrorKind::Server)], [Answer::hang()]);
    let cancel = CancellationToken::new();
    let call = read(&pair.fallback, cancel.clone());
    let stop = async {
        pair.second.wait_for_requests(1).await;
        cancel.cancel();
    };
    let ((_, error), ()) = tokio::join!(call, stop);
    assert!(error.unwrap().is_cancelled());
}
