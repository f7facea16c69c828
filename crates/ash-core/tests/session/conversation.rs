use ash_core::{Error, Outcome, Settings};
use ash_llm::{Content, ErrorKind, Role, StopReason};
use ash_testkit::{Answer, check_prefix};
use insta::assert_snapshot;

use crate::support::{Chat, key};

#[tokio::test]
async fn words_are_answered_and_kept() {
    let mut chat = Chat::with([Answer::text("Hello, Mo."), Answer::text("Mo.")]).await;
    assert_snapshot!(chat.say("I am Mo").await, @r"
    turn: I am Mo
    shown: Hello, Mo.
    message: Hello, Mo.
    finished: answered
    ");
    chat.say("Who am I?").await;
    let requests = chat.model.requests();
    let texts: Vec<String> = requests[1]
        .messages
        .iter()
        .map(ash_llm::Message::text)
        .collect();
    assert_eq!(texts, ["I am Mo", "Hello, Mo.", "Who am I?"]);
    assert_eq!(check_prefix(&requests[0], &requests[1]), Ok(()));
}

#[tokio::test]
async fn the_time_stands_beside_the_words_and_not_in_them() {
    let mut chat = Chat::with([Answer::text("ok")]).await;
    chat.say("hello").await;
    let first = &chat.model.requests()[0].messages[0];
    assert!(matches!(&first.content[0], Content::Context { text } if text.contains("UTC")));
    let stored = chat
        .agent
        .memory()
        .history(chat.session.id(), None)
        .await
        .unwrap();
    assert_eq!(stored[0].content, "hello");
    assert!(stored[0].context.as_deref().unwrap().contains("UTC"));
}

#[tokio::test]
async fn a_failed_model_is_told_and_the_next_turn_works() {
    let mut chat = Chat::with([
        Answer::text("Once upon a").then_error(ErrorKind::CutOff),
        Answer::error(ErrorKind::Auth),
        Answer::text("fine"),
    ])
    .await;
    assert_snapshot!(chat.say("a story").await, @r"
    turn: a story
    shown: Once upon a
    message: Once upon a

    (No answer: scripted: scripted: CutOff.)
    finished: failed
    ");
    chat.session.say("again").await.unwrap();
    let finished = chat.finished().await;
    assert!(matches!(finished.outcome, Outcome::Failed { hint, .. } if hint.contains("key")));
    assert_snapshot!(chat.say("now?").await, @r"
    turn: now?
    shown: fine
    message: fine
    finished: answered
    ");
}

#[tokio::test]
async fn an_interrupt_keeps_what_was_said_so_far() {
    let mut chat = Chat::with([Answer::text("One, two").then_hang(), Answer::text("ok")]).await;
    chat.session.say("count").await.unwrap();
    chat.until(|event| matches!(event, ash_core::Event::TextDelta(_)).then_some(()))
        .await;
    chat.session.interrupt().unwrap();
    let finished = chat.finished().await;
    assert_eq!(finished.outcome, Outcome::Interrupted);
    assert!(
        finished.reply.ends_with("(Interrupted.)"),
        "{}",
        finished.reply
    );
    chat.say("thanks").await;
    assert_eq!(chat.model.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn words_said_while_the_model_speaks_are_answered_in_the_same_turn() {
    let mut chat = Chat::with([Answer::text("Sunny.").held(), Answer::text("Rain.")]).await;
    chat.session.say("weather today?").await.unwrap();
    chat.model.wait_for_requests(1).await;
    chat.session.say("and tomorrow?").await.unwrap();
    // The session has taken the words once it has taken a later command, too.
    chat.model.release();
    let transcript = chat.transcript().await;
    let answered_together = transcript.contains("steered");
    if !answered_together {
        // They came too late for this turn, so they are the next.
        assert!(chat.transcript().await.contains("Rain."));
    }
    let last = chat.model.requests().pop().unwrap();
    assert_eq!(last.messages.last().unwrap().text(), "and tomorrow?");
    let left = chat
        .agent
        .intake()
        .unfinished("terminal", "main")
        .await
        .unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_settings_end_an_endless_turn() {
    let settings = Settings {
        step_limit: 2,
        ..Settings::default()
    };
    let mut chat = Chat::built(
        [
            Answer::tool_call("a", "nothing", serde_json::json!({})),
            Answer::tool_call("a", "nothing", serde_json::json!({})),
        ],
        |agent| agent.settings(settings),
    )
    .await;
    let transcript = chat.say("go").await;
    assert!(
        transcript.ends_with("finished: step_limit\n"),
        "{transcript}"
    );
}

#[tokio::test]
async fn long_conversations_are_cut_in_jumps_and_stay_cut() {
    let settings = Settings {
        max_context_messages: 4,
        ..Settings::default()
    };
    let answers = (0..12).map(|n| Answer::text(format!("a{n}")));
    let mut chat = Chat::built(answers, |agent| agent.settings(settings)).await;
    for n in 0..12 {
        chat.say(&format!("q{n}")).await;
    }
    let requests = chat.model.requests();
    let lengths: Vec<usize> = requests
        .iter()
        .map(|request| request.messages.len())
        .collect();
    assert_eq!(lengths, [1, 3, 5, 7, 9, 5, 7, 9, 5, 7, 9, 5]);
    for pair in requests.windows(2) {
        if pair[1].messages.len() > pair[0].messages.len() {
            assert_eq!(check_prefix(&pair[0], &pair[1]), Ok(()));
        }
    }
}

#[tokio::test]
async fn starting_afresh_hides_what_was_said_from_the_model_only() {
    let mut chat = Chat::with([Answer::text("a"), Answer::text("b")]).await;
    chat.say("one").await;
    chat.session.start_afresh().unwrap();
    chat.say("two").await;
    assert_eq!(chat.model.requests()[1].messages.len(), 1);
}

#[tokio::test]
async fn a_chat_that_is_open_elsewhere_is_busy() {
    let chat = Chat::with([]).await;
    let second = chat.agent.open(key()).await;
    assert!(matches!(
        second,
        Err(Error::Memory(ash_memory::MemoryError::Busy { .. }))
    ));
}

#[tokio::test]
async fn more_words_than_a_session_can_hold_are_refused_before_they_are_accepted() {
    let mut chat = Chat::with([Answer::text("x").held()]).await;
    chat.session.say("first").await.unwrap();
    chat.model.wait_for_requests(1).await;
    let mut accepted = 1;
    let refused = loop {
        match chat.session.say(&format!("more {accepted}")).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 1000, "there is no bound");
    };
    assert!(matches!(refused, Error::SessionBusy));
    let kept = chat.agent.intake();
    let kept = kept.unfinished("terminal", "main").await.unwrap();
    assert_eq!(kept.len(), accepted);
    chat.session.interrupt().unwrap();
    chat.finished().await;
}

#[tokio::test]
async fn a_declined_request_is_told_in_words() {
    let mut chat = Chat::with([Answer::content([]).stop(StopReason::Refused {
        reason: Some("cyber".to_owned()),
    })])
    .await;
    assert_snapshot!(chat.say("do harm").await, @r"
    turn: do harm
    message: (The model declined: cyber.)
    finished: refused
    ");
    let role = chat.model.requests()[0].messages[0].role;
    assert_eq!(role, Role::User);
}
