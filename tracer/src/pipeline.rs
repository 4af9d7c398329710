//! wires
