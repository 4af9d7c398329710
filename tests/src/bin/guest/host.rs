//! The line to the host: the other side of `xtask/src/vm/protocol.rs`.

/// Sends the host a message, in one line of the console.
pub fn send(message: &str) {
    // On its own line, even if the last output did not end with a newline.
    println!("\n@@vm {message}");
}
