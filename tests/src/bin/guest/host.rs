//! The line to the host: the other side of `xtask/src/vm/protocol.rs`.

/// Sends the host a message, in one line of the console.
pub fn send(message: &str) {
    // In a line of its own, whatever was printed before.
    println!("\n@@vm {message}");
}
