//! Programs that misbehave on request: `fixture <mode> [argument …]`.

fn main() {
    println!("no such mode");
    std::process::exit(2);
}
