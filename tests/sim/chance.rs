//! Seeds, and the runtime in which what they draw happens: one thread, by a clock that jumps.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The seeds that the environment asks for: `SEEDS` of them from `SEED` on, one by default.
pub fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let number =
        |name: &str| number(name).map_or(1, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")));
    let first = number("SEED");
    first..first + number("SEEDS")
}

/// Runs `future` to its end.
pub fn simulate(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(future);
}

/// Runs a test with each seed; the one that fails is printed.
#[expect(clippy::print_stderr, reason = "the harness shows it with the failure")]
pub fn repeatedly<F: Future<Output = ()>>(test: impl Fn(u64) -> F) {
    for seed in seeds() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| simulate(test(seed)))) {
            eprintln!("it failed with SEED={seed}");
            resume_unwind(panic);
        }
    }
}
