//! How long a failed attempt waits before the next one.

use std::time::Duration;

/// The delay before a retry: `base` + `factor`^attempt seconds, at most `max`, then shortened at random by up to the
/// share `jitter`, so that tasks which failed together do not come back together, not even at `max`.
///
/// The defaults give 17 s, 19 s, 23 s, 31 s, … 24 h (from the 17th attempt), less up to 10%.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// What every delay begins with.
    pub base: Duration,
    /// What each further attempt multiplies the growing part by, at least 1.
    pub factor: f64,
    /// The longest delay.
    pub max: Duration,
    /// The share of the delay that chance may take off, 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(15), factor: 2.0, max: Duration::from_secs(24 * 60 * 60), jitter: 0.1 }
    }
}

impl Backoff {
    /// The delay after this attempt (from 1) failed; `random` is from 0 to 1, and values outside count as the nearest.
    pub fn delay(&self, attempt: u16, random: f64) -> Duration {
        // Too large a power is infinite, not an overflow, and the minimum with `max` is finite.
        let seconds = self.base.as_secs_f64() + self.factor.powi(i32::from(attempt));
        let most = seconds.min(self.max.as_secs_f64());
        let kept = 1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(most * kept).unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn the_default_grows_from_17_seconds_to_a_day() {
        let delays: Vec<u64> = (1..=18).map(|attempt| Backoff::default().delay(attempt, 0.0).as_secs()).collect();
        assert_eq!(
            delays,
            [17, 19, 23, 31, 47, 79, 143, 271, 527, 1039, 2063, 4111, 8207, 16399, 32783, 65551, 86400, 86400]
        );
    }

    #[test]
    fn chance_takes_off_a_tenth_at_most() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0.0), Duration::from_secs(17));
        assert_eq!(backoff.delay(1, 0.5), Duration::from_millis(16_150));
        assert_eq!(backoff.delay(1, 1.0), Duration::from_millis(15_300));
        assert_eq!(backoff.delay(1, -7.0), backoff.delay(1, 0.0));
        assert_eq!(backoff.delay(1, 7.0), backoff.delay(1, 1.0));
    }

    #[test]
    fn delays_at_the_maximum_still_spread() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(40, 0.0), DAY);
        assert_eq!(backoff.delay(40, 1.0), DAY.mul_f64(0.9));
    }

    #[test]
    fn no_attempt_overflows() {
        for factor in [1.0, 1.5, 2.0, 100.0, f64::MAX] {
            let backoff = Backoff { factor, ..Backoff::default() };
            let mut before = Duration::ZERO;
            for attempt in [0, 1, 2, 63, 64, 1023, 1024, 1025, 32_767, u16::MAX] {
                let delay = backoff.delay(attempt, 0.0);
                assert!(delay <= DAY && delay >= before, "factor {factor}, attempt {attempt}: {delay:?}");
                before = delay;
            }
        }
    }

    #[test]
    fn numbers_that_are_none_end_within_the_maximum() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
        for factor in odd {
            for jitter in odd {
                for random in odd {
                    let delay = Backoff { factor, jitter, ..Backoff::default() }.delay(3, random);
                    assert!(delay <= DAY, "factor {factor}, jitter {jitter}, random {random}: {delay:?}");
                }
            }
        }
    }

    #[test]
    fn the_longest_duration_is_no_overflow() {
        let backoff = Backoff { base: Duration::MAX, max: Duration::MAX, factor: 100.0, jitter: 0.0 };
        assert_eq!(backoff.delay(32_767, 0.0), Duration::MAX);
    }

    #[test]
    fn a_factor_of_one_waits_the_same_every_time() {
        let backoff = Backoff { factor: 1.0, base: Duration::from_secs(4), ..Backoff::default() };
        assert_eq!(backoff.delay(1, 0.0), Duration::from_secs(5));
        assert_eq!(backoff.delay(20_000, 0.0), Duration::from_secs(5));
    }
}
