//! What to do about an error of the library, in terms of the program's options.

use kdloss::Error;

/// The remedy, where the error's own text does not say it.
pub(crate) fn remedy(error: &Error) -> Option<String> {
    match error {
        Error::InvalidAlpha { .. } => Some("choose an --alpha from 0 to 1".into()),
        Error::InvalidDenominator { .. } => Some("choose another --denominator".into()),
        Error::LabelOutOfRange { label, .. } if *label < 0 => {
            Some(format!("correct the label, or pass --ignore-index {label} if it marks a row without one"))
        }
        Error::LabelOutOfRange { .. } => Some("correct the label, or widen --vocab if it leaves out classes".into()),
        Error::NoDevice { .. } => Some("--backend cpu needs no adapter".into()),
        Error::Device { .. } | Error::DeviceLost { .. } => Some("--backend cpu does without a device".into()),
        Error::RowTooWide { .. } | Error::TooManyRows { .. } => Some("--backend cpu has no such limit".into()),
        _ => None,
    }
}
