//! What `scripts/bench` measures with, beside the product itself: one program with a part for each job.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench asks the machine's own clock, stops when something is odd, and prints what its caller reads"
)]

mod ceiling;
mod matching;
mod pace;
mod store;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["ceiling", secret] => ceiling::serve(secret.to_owned()).await,
        ["matching"] => matching::run(),
        ["pace", binary, folder] => pace::run(binary, folder).await,
        ["store", ref rest @ ..] => store::run(rest).await,
        _ => println!("ceiling SECRET | matching | pace BINARY FOLDER | store …"),
    }
}
