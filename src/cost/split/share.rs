//! (pure) Money shared out so that the shares add up to it.

/// Shares of `total` in proportion to `weights`, by largest remainder: they add up to it exactly, and none is off by more than one.
/// Without any weight it all goes to the first.
pub(super) fn share(total: i128, weights: &[u128]) -> Vec<i128> {
    let mut shares = vec![0; weights.len()];
    let sum = weights.iter().fold(0_u128, |sum, weight| sum.saturating_add(*weight));
    let Some(first) = shares.first_mut() else {
        return shares;
    };
    if sum == 0 {
        *first = total;
        return shares;
    }
    let amount = total.unsigned_abs();
    let mut left = amount;
    let mut remainders = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let due = amount.saturating_mul(*weight);
        let floor = (due / sum).min(left);
        left -= floor;
        shares[index] = i128::try_from(floor).unwrap_or(i128::MAX);
        remainders.push((due % sum, index));
    }
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in remainders {
        if left == 0 {
            break;
        }
        shares[index] += 1;
        left -= 1;
    }
    // Only of amounts that no bill has.
    shares[0] = shares[0].saturating_add(i128::try_from(left).unwrap_or(i128::MAX));
    if total < 0 {
        shares.iter_mut().for_each(|share| *share = -*share);
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_remainders_get_what_is_left() {
        assert_eq!(share(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(share(-10, &[1, 1, 1]), [-4, -3, -3]);
        assert_eq!(share(7, &[0, 0]), [7, 0]);
        assert_eq!(share(100, &[1, 998, 1]), [0, 100, 0]);
        assert!(share(5, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn shares_add_up(total: i64, weights in prop::collection::vec(0_u128..1 << 50, 1..20)) {
            let total = i128::from(total);
            let shares = share(total, &weights);
            prop_assert_eq!(shares.iter().sum::<i128>(), total);
            let sum: u128 = weights.iter().sum();
            for (share, weight) in shares.iter().zip(&weights) {
                let exact = (total.unsigned_abs() * weight).checked_div(sum);
                prop_assert!(exact.is_none_or(|exact| share.unsigned_abs().abs_diff(exact) <= 1));
            }
        }
    }
}
