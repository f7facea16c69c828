//! `ash chat`: one answer, or a conversation.

mod conversation;
mod input;
mod interactive;
mod machine;
mod text;

use ash_core::{Finished, Stamped};

use self::conversation::{Conversation, Ended};
use self::machine::{JsonView, StreamView};
use self::text::{TextView, failure};
use super::Context;
use crate::app::App;
use crate::cli::{self, Output};
use crate::report::{Exit, Problem};
use crate::terminal;

/// Shows what happens during turns.
trait View {
    /// Shows one event.
    fn event(&mut self, stamped: &Stamped) -> anyhow::Result<()>;

    /// Shows the end of a turn, after its last event.
    fn finished(&mut self, _finished: &Finished) -> anyhow::Result<()> {
        Ok(())
    }

    /// Says something that belongs to no turn.
    fn note(&mut self, text: &str) -> anyhow::Result<()>;

    /// Shows an answer of an earlier turn.
    fn late(&mut self, text: &str) -> anyhow::Result<()>;

    /// Tidies up where a turn is left in its middle.
    fn interrupted(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Ends the output.
    fn end(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Runs `ash chat`.
pub(crate) fn run(context: Context, arguments: &cli::Chat) -> anyhow::Result<Exit> {
    let said = input::read(arguments)?;
    if said.is_none() && arguments.output != Output::Text {
        return Err(Problem::usage("an interactive conversation is text only")
            .hint("give a text, or pipe one in")
            .into());
    }
    let app = App::assemble(context, arguments.model.as_deref())?;
    let name = if arguments.new {
        fresh_name()
    } else {
        arguments.session.clone()
    };
    // One thread is enough: the database has its own, and everything else is waiting.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        match &said {
            Some(said) => once(&app, &name, said, arguments).await,
            None => interactive::run(&app, &name).await,
        }
    });
    // A line editor that still waits for a key must not keep the process.
    runtime.shutdown_background();
    ended
}

/// Asks once.
async fn once(app: &App, name: &str, said: &str, arguments: &cli::Chat) -> anyhow::Result<Exit> {
    let mut view: Box<dyn View> = match arguments.output {
        Output::Text => Box::new(TextView::new()),
        Output::Json => Box::new(JsonView::new(name, &app.agent.model().id())),
        Output::StreamJson => Box::new(StreamView::new(name)),
    };
    let mut talk = Conversation::open(app.agent.clone(), name, &mut *view).await?;
    let ended = match arguments.output {
        // Standard output is for the answer to what was just asked.
        Output::Text => talk.catch_up(&mut TextView::aside(), None).await,
        Output::Json | Output::StreamJson => talk.catch_up(&mut *view, None).await,
    };
    let ended = match ended {
        Ok(()) => talk.say(said, &mut *view, None).await,
        Err(error) => Err(error),
    };
    let ended = ended.and_then(|ended| view.end().map(|()| ended));
    if arguments.new && arguments.output == Output::Text && terminal::is_interactive() {
        view.note(&format!("`--session {name}` goes on from here"))?;
    }
    talk.leave().await;
    match ended? {
        Ended::Left => Ok(Exit::Fixable),
        Ended::Finished(finished) => match failure(&finished.outcome) {
            // Programs have read it already.
            Some(problem) if arguments.output == Output::Text => Err(problem.into()),
            Some(problem) => Ok(problem.exit()),
            None => Ok(exit_of(&finished)),
        },
    }
}

fn exit_of(finished: &Finished) -> Exit {
    use ash_core::Outcome;
    match finished.outcome {
        Outcome::Answered | Outcome::CutOff => Exit::Done,
        Outcome::Refused { .. } | Outcome::StepLimit | Outcome::Interrupted => Exit::Fixable,
        Outcome::Failed { .. } => Exit::Fault,
    }
}

/// Makes a name for a conversation of its own: when it began, and what tells two of a second apart.
fn fresh_name() -> String {
    let now = jiff::Zoned::now().strftime("%Y-%m-%d-%H%M%S").to_string();
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{now}-{}", &id[..4])
}
