//! When images are removed because the disk fills, by a kubelet's settings: `imageGCHighThresholdPercent`,
//! `imageGCLowThresholdPercent` and `imageMinimumGCAge` of its configuration, and the flags of the same meaning.
//!
//! `pkg/kubelet/images/image_gc_manager.go`.

/// With so much left a disk is not full, however large it is: an image that came from an archive cannot be pulled again.
/// Not where the threshold was chosen.
const ENOUGH_BYTES: u64 = 10 << 30;
/// A kubelet's value.
const HIGH_PERCENT: u8 = 85;
/// At this threshold nothing is ever removed.
const NEVER: u8 = 100;

/// The settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// How full the disk may be; `None` for a kubelet's value.
    pub high_percent: Option<u8>,
    /// How full it is afterwards, at the most.
    pub low_percent: u8,
    /// An image that was pulled within this time stays.
    pub least_age_s: u64,
}

impl Default for Collection {
    fn default() -> Self {
        Self { high_percent: None, low_percent: 80, least_age_s: 120 }
    }
}

impl Collection {
    /// How full the disk may be.
    pub fn high(&self) -> u8 {
        self.high_percent.unwrap_or(HIGH_PERCENT)
    }

    /// Checks that the thresholds are in their order.
    ///
    /// # Errors
    /// A sentence that names the flags.
    pub fn check(&self) -> Result<(), String> {
        let (high, low) = (self.high(), self.low_percent);
        if low < high {
            return Ok(());
        }
        Err(format!(
            "--image-gc-low-threshold {low} must be less than --image-gc-high-threshold {high}: images are removed above \
             the second until the disk is below the first"
        ))
    }

    /// How many bytes of images are to go; `None` where the disk is not full.
    pub fn wanted_bytes(&self, total_bytes: u64, free_bytes: u64) -> Option<u64> {
        let used_bytes = total_bytes.saturating_sub(free_bytes);
        let is_enough = self.high_percent.is_none() && free_bytes >= ENOUGH_BYTES;
        let is_full = u128::from(used_bytes) * 100 >= u128::from(total_bytes) * u128::from(self.high());
        if total_bytes == 0 || !is_full || is_enough || self.high() >= NEVER {
            return None;
        }
        let low_bytes = u128::from(total_bytes) * u128::from(self.low_percent) / 100;
        Some(used_bytes.saturating_sub(u64::try_from(low_bytes).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_go_above_one_threshold_until_the_other() {
        let settings = |high_percent, low_percent| Collection { high_percent, low_percent, ..Collection::default() };
        const GIB: u64 = 1 << 30;
        let rows = [
            (settings(None, 80), 100, 16, None),
            (settings(None, 80), 100, 15, Some(5)),
            (settings(None, 80), 100, 0, Some(20)),
            (settings(None, 80), 1000 * GIB, 10 * GIB, None),
            (settings(None, 80), 1000 * GIB, 10 * GIB - 1, Some(190 * GIB + 1)),
            // One that was chosen holds on every disk.
            (settings(Some(85), 80), 1000 * GIB, 100 * GIB, Some(100 * GIB)),
            (settings(Some(50), 20), 100, 40, Some(40)),
            (settings(Some(50), 20), 100, 51, None),
            (settings(Some(100), 80), 100, 0, None),
            (settings(None, 80), 0, 0, None),
        ];
        for (settings, total, free, expected) in rows {
            assert_eq!(settings.wanted_bytes(total, free), expected, "{settings:?} {total} {free}");
        }
    }

    #[test]
    fn thresholds_have_an_order() {
        assert_eq!(Collection::default().check(), Ok(()));
        let wrong = Collection { high_percent: Some(70), ..Collection::default() };
        let told = wrong.check().unwrap_err();
        assert!(
            told.starts_with("--image-gc-low-threshold 80 must be less than --image-gc-high-threshold 70"),
            "{told}"
        );
    }
}
