//! Keeps the beginning and the end of a noisy build log, as a tool would show it to a model.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use ash_sandbox::Capture;

fn main() {
    let mut stdout = Capture::new(120);
    stdout.push(b"\x1b[1mBuilding\x1b[0m ash v0.1.0\n");
    for percent in 0..=100 {
        stdout.push(format!("\r[{percent:>3}%] compiling").as_bytes());
    }
    stdout.push(b"\n\x1b[31merror\x1b[0m: expected `;`, found `}`\n");

    let captured = stdout.finish();
    println!("{}", captured.text);
    println!(
        "-- {} bytes left out, binary: {}",
        captured.omitted_bytes, captured.binary
    );
}
