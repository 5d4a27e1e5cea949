use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::super::generation::is_signed_by;
use super::*;

const TIMES: Times = Times {
    life: Duration::from_secs(900),
    overlap: Duration::from_secs(60),
};

fn names() -> BTreeSet<String> {
    BTreeSet::from(["webhook.home.svc".to_owned(), "10.0.0.1".to_owned()])
}

fn made(at: Timestamp) -> Generation {
    Generation::make(&names(), at, TIMES.life).expect("makes one")
}

fn at(second: u64) -> (Timestamp, Instant) {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let wall = Timestamp::from_second(1_800_000_000).expect("in range") + SignedDuration::from_secs(second as i64);
    (wall, *START + Duration::from_secs(second))
}

#[test]
fn a_generation_is_for_its_names_and_its_time_and_serves() {
    let generation = made(at(0).0);
    assert_eq!(generation.end(), Some(at(900).0));
    assert!(generation.covers(&names()));
    assert!(!generation.covers(&BTreeSet::from(["another.home.svc".to_owned()])));
    assert!(!generation.covers(&BTreeSet::from(["10.0.0.2".to_owned()])));
    assert!(generation.server().is_ok());
    let mixed = Generation {
        key: made(at(0).0).key,
        ..generation.clone()
    };
    assert!(mixed.server().is_err(), "that key is another's");
    assert!(!format!("{generation:?}").contains("PRIVATE"), "a key is never printed");
    assert!(!generation.ca.contains("PRIVATE"), "the CA's key is gone");
}

#[test]
fn what_is_kept_is_read_again_and_what_is_incomplete_is_missing() {
    let kept = Kept {
        current: Some(made(at(0).0)),
        next: Some(made(at(1).0)),
        former_ca: Some("former".to_owned()),
    };
    let data = |kept: &Kept| -> BTreeMap<String, ByteString> {
        let data = kept.write().into_iter();
        data.filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    };
    assert_eq!(Kept::read(&data(&kept)), kept);
    let mut broken = data(&kept);
    broken.remove("tls.key");
    assert_eq!(Kept::read(&broken).current, None);
    assert_eq!(Kept::read(&BTreeMap::new()), Kept::default());
}

#[test]
fn a_life_goes_from_begin_to_forget() {
    let none = Kept::default();
    assert_eq!(none.due(&BTreeSet::new(), at(0), None, TIMES), None, "nobody calls");
    assert_eq!(none.due(&names(), at(0), None, TIMES), Some(Due::Begin));
    let one = none.after(Due::Begin, Some(made(at(0).0)));
    assert_eq!(one.former_ca, None);
    assert_eq!(one.due(&names(), at(599), None, TIMES), None);
    assert_eq!(one.due(&names(), at(600), None, TIMES), Some(Due::Stage));
    let two = one.clone().after(Due::Stage, Some(made(at(600).0)));
    assert_eq!(two.current, one.current, "the old one is served with");
    assert_eq!(certificates(two.bundle().as_bytes()).len(), 2);
    assert_eq!(
        two.due(&names(), at(605), None, TIMES),
        None,
        "its CA is not trusted yet"
    );
    assert_eq!(two.due(&names(), at(660), Some(at(605).1), TIMES), None);
    assert_eq!(two.due(&names(), at(665), Some(at(605).1), TIMES), Some(Due::Promote));
    let three = two.clone().after(Due::Promote, None);
    assert_eq!(three.current, two.next);
    assert!(
        three.is_trusted_by(two.bundle().as_bytes()),
        "the bundle stays as it is"
    );
    assert_eq!(
        three.due(&names(), at(899), None, TIMES),
        None,
        "a late replica serves with the old one"
    );
    assert_eq!(three.due(&names(), at(900), None, TIMES), Some(Due::Forget));
    let four = three.after(Due::Forget, None);
    assert_eq!(certificates(four.bundle().as_bytes()).len(), 1);
    assert_eq!(four.due(&names(), at(901), None, TIMES), None);
    // Nobody looked for a long time.
    assert_eq!(four.due(&names(), at(10_000), None, TIMES), Some(Due::Begin));
}

#[test]
fn another_name_needs_another_certificate_at_once_and_the_old_ca_stays() {
    let one = Kept::default().after(Due::Begin, Some(made(at(0).0)));
    let others = BTreeSet::from(["renamed.home.svc".to_owned()]);
    assert_eq!(one.due(&others, at(5), None, TIMES), Some(Due::Begin));
    let two = one.clone().after(Due::Begin, Some(made(at(5).0)));
    assert_eq!(two.former_ca, one.current.map(|g| g.ca));
    // A next one that was made for other names is made again.
    let staged = Kept {
        next: Some(Generation::make(&others, at(6).0, TIMES.life).expect("makes one")),
        ..two
    };
    assert_eq!(staged.due(&names(), at(7), None, TIMES), Some(Due::Stage));
}

/// A replica: what it serves with, and since when it sees the next CA trusted.
#[derive(Clone, Default)]
struct Replica {
    serves: Option<Generation>,
    trusted: Option<(String, u64)>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Replicas look in any order, each at least once in a while; an API server takes over the configuration late. Whatever happens,
    /// it trusts what any replica serves, and what is served has not ended.
    #[test]
    fn no_connection_fails_at_any_time(steps in proptest::collection::vec((0..3_usize, 1..15_u64, any::<bool>()), 100..250)) {
        let mut kept = Kept::default();
        let mut configured = String::new();
        // What the API server goes by, and since when the configuration differs from it.
        let mut believed = (String::new(), 0_u64);
        let mut replicas = vec![Replica::default(); 3];
        let mut looked = [0_u64; 3];
        let mut now = 0;
        for (who, passed, syncs) in steps {
            now += passed;
            // Nobody is asleep for longer than half of the overlap.
            let late = (0..3).max_by_key(|n| now - looked[*n]).unwrap_or(who);
            let who = if now - looked[late] > 20 { late } else { who };
            looked[who] = now;
            let replica = &mut replicas[who];
            replica.trusted = kept.next.as_ref().and_then(|next| {
                let holds = is_signed_by(next, configured.as_bytes());
                let since = replica.trusted.take().filter(|(ca, _)| *ca == next.ca);
                holds.then(|| since.unwrap_or((next.ca.clone(), now)))
            });
            let since = replica.trusted.as_ref().map(|(_, since)| at(*since).1);
            if let Some(due) = kept.due(&names(), at(now), since, TIMES) {
                let new = due.needs_new().then(|| made(at(now).0));
                kept = kept.after(due, new);
            }
            replica.serves = kept.current.clone();
            configured = kept.bundle();
            // Half of the overlap is what an API server may be late by; at the very first it has nothing to go by.
            if syncs || now - believed.1 > 25 || believed.0.is_empty() {
                believed = (configured.clone(), now);
            }
            for (n, replica) in replicas.iter().enumerate() {
                if let Some(serves) = &replica.serves {
                    prop_assert!(is_signed_by(serves, believed.0.as_bytes()), "replica {n} at {now}");
                    prop_assert!(serves.end() > Some(at(now).0), "replica {n} serves what has ended, at {now}");
                }
            }
        }
    }
}
