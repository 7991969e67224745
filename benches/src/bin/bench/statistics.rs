//! Medians and quantiles.

use std::fmt;

/// The median of some values, the least and the greatest.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let below = if odd {
            at(middle)
        } else {
            at(middle.wrapping_sub(1))
        };
        Self {
            median: f64::midpoint(below, at(middle)),
            least: at(0),
            most: at(values.len().wrapping_sub(1)),
        }
    }

    /// Of the ratios of two series, pair by pair.
    pub(crate) fn of_ratios(over: &[f64], under: &[f64]) -> Self {
        let pairs = over.iter().zip(under);
        Self::of(pairs.map(|(over, under)| over / under).collect())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = self;
        write!(f, "{median:.2} ({least:.2} to {most:.2})")
    }
}

/// Of many values, those that half, nine tenths and 99 of 100 do not exceed.
#[derive(Debug)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    p90: f64,
    p99: f64,
}

impl Quantiles {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100);
            let value = values.get(rank.wrapping_sub(1));
            value.copied().unwrap_or(f64::NAN)
        };
        Self {
            p50: at(50),
            p90: at(90),
            p99: at(99),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99 } = self;
        write!(f, "{p50:>8.2} {p90:>8.2} {p99:>8.2}")
    }
}
