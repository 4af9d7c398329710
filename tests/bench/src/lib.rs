//! What tracer costs per event: the benchmarks are in `benches/`.
