//! Says of each line of standard input which other line is nearest in meaning:
//! `cargo run -p ash-llm --example nearest -- http://localhost:11434/v1 MODEL < lines.txt`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;

use ash_llm::{ProviderKind, ProviderSettings, Registry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(base_url), Some(model)) = (arguments.next(), arguments.next()) else {
        println!("Usage: nearest BASE_URL MODEL < LINES");
        return Ok(());
    };
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let input = String::from_utf8_lossy(&input);
    let lines = input.lines().filter(|line| !line.trim().is_empty());
    let texts: Vec<String> = lines.map(str::to_owned).collect();

    let mut server = ProviderSettings::new(ProviderKind::Openai);
    server.base_url = Some(base_url);
    let registry = Registry::new(&BTreeMap::from([("here".to_owned(), server)]), &|_| None)?;
    let source = registry.embeddings(&format!("here/{model}"), None).await?;
    let vectors = source.embed(&texts).await?;

    println!(
        "{} vectors of {} numbers",
        vectors.len(),
        source.dimensions()
    );
    for (at, vector) in vectors.iter().enumerate() {
        let others = vectors.iter().enumerate().filter(|(other, _)| *other != at);
        let nearest = others
            .map(|(other, theirs)| (likeness(vector, theirs), other))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((likeness, other)) => println!("{likeness:.3} {:?} {:?}", texts[at], texts[other]),
            None => println!("{:?} is alone", texts[at]),
        }
    }
    Ok(())
}

/// Returns the cosine of the angle between two vectors.
fn likeness(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
