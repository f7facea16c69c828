use std::sync::Arc;
use std::time::Duration;

use ash_llm::{ErrorKind, LlmError, LlmProvider, RetrySettings, Retrying};
use ash_testkit::{Answer, ScriptedModel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{error, read, transcript};

const ALL_KINDS: [ErrorKind; 14] = [
    ErrorKind::Auth,
    ErrorKind::Quota,
    ErrorKind::RateLimited,
    ErrorKind::Overloaded,
    ErrorKind::Server,
    ErrorKind::Connect,
    ErrorKind::Timeout,
    ErrorKind::CutOff,
    ErrorKind::Protocol,
    ErrorKind::InvalidRequest,
    ErrorKind::NotFound,
    ErrorKind::ContextOverflow,
    ErrorKind::Cancelled,
    ErrorKind::Config,
];

fn retrying(answers: impl IntoIterator<Item = Answer>) -> (ScriptedModel, Retrying) {
    let model = ScriptedModel::new(answers);
    let retrying = Retrying::new(Arc::new(model.clone()), RetrySettings::default()).with_seed(1);
    (model, retrying)
}

fn busy(seconds: f64) -> Answer {
    Answer::failure(LlmError {
        status: Some(429),
        retry_after: Some(Duration::from_secs_f64(seconds)),
        ..error(ErrorKind::RateLimited)
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_before_anything_was_shown_is_made_again() {
    let (model, retrying) = retrying([
        Answer::error(ErrorKind::Overloaded),
        Answer::content([]).then_error(ErrorKind::CutOff),
        Answer::content([]).then_silence(),
        Answer::text("hi"),
    ]);
    let start = Instant::now();
    let lines = transcript(&retrying).await;
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let mut total = 0;
    for (line, (least, reason)) in lines.iter().zip([
        (250, "scripted: scripted: Overloaded"),
        (500, "scripted: scripted: CutOff"),
        (1000, "scripted: the answer ended before it was complete"),
    ]) {
        let told = line.strip_prefix("retrying after ").unwrap();
        let (delay, told) = told.split_once(" ms: ").unwrap();
        let delay: u128 = delay.parse().unwrap();
        assert!((least..=2 * least).contains(&delay), "{line}");
        assert_eq!(told, reason);
        total += delay;
    }
    assert_eq!(lines[3..], ["text hi", "done by scripted/m: hi"]);
    let elapsed = start.elapsed().as_millis();
    assert!(
        (total..total + 10).contains(&elapsed),
        "{elapsed} and not {total} ms"
    );
    assert_eq!(model.requests().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn only_failures_that_may_pass_are_tried_again() {
    for kind in ALL_KINDS {
        let (model, retrying) = retrying([Answer::error(kind), Answer::text("hi")]);
        let lines = transcript(&retrying).await;
        let may_pass = error(kind).is_retryable();
        assert_eq!(
            lines.last().unwrap() == "done by scripted/m: hi",
            may_pass,
            "{lines:#?}"
        );
        assert_eq!(model.requests().len(), 1 + usize::from(may_pass));
    }
}

#[tokio::test(start_paused = true)]
async fn the_provider_has_the_last_word_on_trying_again() {
    for (kind, retryable) in [
        (ErrorKind::Server, false),
        (ErrorKind::InvalidRequest, true),
    ] {
        let failure = LlmError {
            retryable: Some(retryable),
            ..error(kind)
        };
        let (model, retrying) = retrying([Answer::failure(failure), Answer::text("hi")]);
        transcript(&retrying).await;
        assert_eq!(model.requests().len(), 1 + usize::from(retryable));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_again_once_something_was_shown() {
    for answer in [
        Answer::text("half").then_error(ErrorKind::CutOff),
        Answer::content([])
            .and_thinking("half")
            .then_error(ErrorKind::CutOff),
    ] {
        let (model, retrying) = retrying([answer, Answer::text("whole")]);
        let lines = transcript(&retrying).await;
        assert!(lines[0].ends_with(" half"));
        assert_eq!(lines[1..], ["error scripted: scripted: CutOff"]);
        assert_eq!(model.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn patience_ends_after_the_last_attempt() {
    let (model, retrying) = retrying((0..9).map(|_| Answer::error(ErrorKind::Server)));
    let lines = transcript(&retrying).await;
    assert_eq!(
        lines[3..],
        ["error scripted: scripted: Server (tried 4 times)"]
    );
    assert_eq!(model.requests().len(), 4);
    for max_attempts in [0, 1] {
        let settings = RetrySettings {
            max_attempts,
            ..RetrySettings::default()
        };
        let model = ScriptedModel::new([Answer::error(ErrorKind::Server)]);
        let retrying = Retrying::new(Arc::new(model), settings);
        assert_eq!(
            transcript(&retrying).await,
            ["error scripted: scripted: Server"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_eight_seconds_and_no_further() {
    let settings = RetrySettings {
        max_attempts: 40,
        deadline: 600,
    };
    let model = ScriptedModel::new((0..40).map(|_| Answer::error(ErrorKind::Connect)));
    let retrying = Retrying::new(Arc::new(model), settings);
    for line in transcript(&retrying).await.iter().skip(6).take(30) {
        let delay: u64 = line.split(' ').nth(2).unwrap().parse().unwrap();
        assert!((4000..=8000).contains(&delay), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_waited_for_as_long_as_it_asks() {
    let (_, retrying) = retrying([busy(42.5), busy(0.0), Answer::text("hi")]);
    let start = Instant::now();
    assert_eq!(
        transcript(&retrying).await,
        [
            "retrying after 42500 ms: scripted (HTTP 429): told so",
            "retrying after 0 ms: scripted (HTTP 429): told so",
            "text hi",
            "done by scripted/m: hi",
        ]
    );
    assert_eq!(start.elapsed().as_secs(), 42);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_too_long_a_pause_is_not_waited_for() {
    let (model, retrying) = retrying([busy(400.0), busy(300.0), Answer::text("hi")]);
    let start = Instant::now();
    let (lines, error) = read(&retrying, CancellationToken::new()).await;
    assert_eq!(
        lines[1],
        "error scripted (HTTP 429): told so; it would have to wait 300 seconds, and only 200 are left"
    );
    assert_eq!(error.unwrap().retry_after, Some(Duration::from_mins(5)));
    assert_eq!(start.elapsed().as_secs(), 400);
    assert_eq!(model.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_pause_is_too_long_for_the_clock() {
    let forever = Answer::failure(LlmError {
        retry_after: Some(Duration::MAX),
        ..error(ErrorKind::RateLimited)
    });
    let model = ScriptedModel::new([forever]);
    let settings = RetrySettings {
        deadline: u64::MAX,
        ..RetrySettings::default()
    };
    let retrying = Retrying::new(Arc::new(model), settings);
    let lines = transcript(&retrying).await;
    assert!(lines[0].contains("it would have to wait"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn calls_share_the_pause_that_one_of_them_was_asked_for() {
    let (model, retrying) = retrying([busy(30.0), Answer::text("one"), Answer::text("two")]);
    let retrying = Arc::new(retrying);
    let first = tokio::spawn({
        let retrying = Arc::clone(&retrying);
        async move { transcript(&*retrying).await }
    });
    model.wait_for_requests(1).await;
    let start = Instant::now();
    let second = transcript(&*retrying).await;
    let waited = start.elapsed();
    assert!(second[0].starts_with("retrying after 30"), "{second:#?}");
    assert!(
        second[0].ends_with("scripted (HTTP 429): told so"),
        "{second:#?}"
    );
    // Neither before the pause is over nor in step with the other call.
    assert!(
        waited > Duration::from_secs(30) && waited < Duration::from_secs(31),
        "{waited:?}"
    );
    assert_eq!(second[2], "done by scripted/m: two");
    assert_eq!(first.await.unwrap()[2], "done by scripted/m: one");
    assert_eq!(model.requests().len(), 3);
    // Afterwards nothing is left of it.
    model.push(Answer::text("three"));
    assert_eq!(transcript(&*retrying).await[0], "text thre");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_once_when_it_is_cancelled_anywhere() {
    for answers in [
        // While it waits for an answer, in the middle of one, and in a pause.
        vec![Answer::hang()],
        vec![Answer::text("half").then_hang()],
        vec![busy(60.0)],
    ] {
        let (model, retrying) = retrying(answers);
        let cancel = CancellationToken::new();
        let call = read(&retrying, cancel.clone());
        let stop = async {
            model.wait_for_requests(1).await;
            // Lets the call get as far as it gets.
            tokio::time::sleep(Duration::from_secs(10)).await;
            cancel.cancel();
        };
        let start = Instant::now();
        let ((_, error), ()) = tokio::join!(call, stop);
        assert!(error.unwrap().is_cancelled());
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(model.requests().len(), 1);
    }
    let (model, retrying) = retrying([Answer::text("hi")]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (lines, _) = read(&retrying, cancel).await;
    assert_eq!(lines, ["error scripted: cancelled"]);
    assert_eq!(model.requests().len(), 0);
    assert_eq!(retrying.name(), "scripted");
}
