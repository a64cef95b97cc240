//! Sets of integers as ascending, disjoint, inclusive runs.

/// A set of integers: runs that are ascending and apart by at least one integer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(Vec<(i64, i64)>);

impl Runs {
    /// The set of these runs, which are those of another set.
    pub fn of(runs: &[(i64, i64)]) -> Self {
        Self(runs.to_vec())
    }

    /// Adds an integer that is no smaller than the last one.
    pub fn push(&mut self, id: i64) {
        match self.0.last_mut() {
            Some((_, end)) if id <= *end => {}
            Some((_, end)) if end.checked_add(1) == Some(id) => *end = id,
            _ => self.0.push((id, id)),
        }
    }

    /// The smallest integer.
    pub fn first(&self) -> Option<i64> {
        self.0.first().map(|r| r.0)
    }

    /// The largest integer.
    pub fn last(&self) -> Option<i64> {
        self.0.last().map(|r| r.1)
    }

    /// How many integers there are.
    pub fn count(&self) -> u64 {
        let widths = self.0.iter().map(|(a, b)| b.abs_diff(*a).saturating_add(1));
        widths.fold(0, u64::saturating_add)
    }

    /// The runs.
    pub fn into_runs(self) -> Vec<(i64, i64)> {
        self.0
    }

    /// The integers between the first and the last that are not in the set.
    pub fn gaps(&self) -> Runs {
        Runs(self.0.windows(2).map(|pair| (pair[0].1 + 1, pair[1].0 - 1)).collect())
    }

    /// The integers in both.
    pub fn within(&self, other: &Runs) -> Runs {
        let (mut i, mut j) = (0, 0);
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            let (start, end) = (a.0.max(b.0), a.1.min(b.1));
            if start <= end {
                both.push((start, end));
            }
            if a.1 < b.1 { i += 1 } else { j += 1 }
        }
        Runs(both)
    }

    /// The integers that are not in `other`.
    pub fn without(&self, other: &Runs) -> Runs {
        let mut rest = Vec::new();
        let mut j = 0;
        for &(start, end) in &self.0 {
            let mut from = Some(start);
            while j < other.0.len() && other.0[j].1 < start {
                j += 1;
            }
            let mut k = j;
            while let (Some(at), Some(&(a, b))) = (from, other.0.get(k)) {
                if a > end {
                    break;
                }
                if a > at {
                    rest.push((at, a - 1));
                }
                from = b.checked_add(1).filter(|next| *next <= end);
                k += 1;
            }
            rest.extend(from.map(|at| (at, end)));
        }
        Runs(rest)
    }

    /// The integers in either.
    pub fn with(&self, other: &Runs) -> Runs {
        let mut all: Vec<(i64, i64)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(all.len());
        for (start, end) in all {
            match joined.last_mut() {
                Some(last) if last.1.checked_add(1).is_none_or(|next| start <= next) => {
                    last.1 = last.1.max(end);
                }
                _ => joined.push((start, end)),
            }
        }
        Runs(joined)
    }
}
