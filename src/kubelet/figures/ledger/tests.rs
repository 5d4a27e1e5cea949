//! The counters: cases, and properties against a world in which groups come, go and count anew.

use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn id(n: u8) -> Arc<str> {
    Arc::from(format!("eci-{n}"))
}

/// Counts in one sample of a group that began at second 0.
fn take(ledger: &mut Ledger, group: &Arc<str>, second: i64, raw: u64) {
    let reading = Reading {
        group,
        since: Some(at(0)),
        at: at(second),
        raw,
    };
    ledger.take([reading], |_| false);
}

#[test]
fn what_is_gone_counts_on() {
    let mut ledger = Ledger::default();
    take(&mut ledger, &id(1), 15, 100);
    take(&mut ledger, &id(1), 30, 250);
    assert_eq!(ledger.total(), BEGINNING + 250);
    ledger.take([], |_| false);
    assert_eq!(ledger.total(), BEGINNING + 250);
    assert_eq!(ledger.of("eci-1"), Some(250));
}

#[test]
fn the_same_sample_counts_once_and_an_older_one_not_at_all() {
    let mut ledger = Ledger::default();
    take(&mut ledger, &id(1), 30, 250);
    take(&mut ledger, &id(1), 30, 250);
    take(&mut ledger, &id(1), 15, 100);
    assert_eq!(ledger.total(), BEGINNING + 250);
}

#[test]
fn a_counter_that_begins_anew_goes_on() {
    let mut ledger = Ledger::default();
    take(&mut ledger, &id(1), 15, 100);
    take(&mut ledger, &id(1), 30, 40);
    take(&mut ledger, &id(1), 45, 60);
    assert_eq!((ledger.of("eci-1"), ledger.total()), (Some(160), BEGINNING + 160));
}

#[test]
fn of_a_group_that_could_not_be_seen_before_only_the_new_part_counts() {
    let mut ledger = Ledger::default();
    take(&mut ledger, &id(1), 900, 0);
    // It ran for 1,000 s, and 100 of them are new.
    take(&mut ledger, &id(2), 1_000, 5_000);
    assert_eq!(ledger.total(), BEGINNING + 500);
    assert_eq!(ledger.of("eci-2"), Some(5_000), "its own counter is all of it");
    let reading = |since| {
        let (group, at) = (&id(3), at(1_100));
        first_share(
            &Reading {
                group,
                since,
                at,
                raw: 70,
            },
            Some(self::at(1_000)),
        )
    };
    assert_eq!(reading(Some(at(1_050))), 70, "it began since then");
    assert_eq!(reading(None), 0, "who knows when it began");
}

#[test]
fn an_idle_node_has_figures_too() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.time(None), None);
    assert_eq!(ledger.time(Some(at(7))), Some(at(7)));
    assert!(ledger.total() > 0);
    take(&mut ledger, &id(1), 5, 1);
    assert_eq!(ledger.time(None), Some(at(7)), "time does not go back");
}

#[test]
fn groups_are_forgotten_in_time() {
    let mut ledger = Ledger::default();
    for n in 0..100 {
        take(&mut ledger, &id(n), i64::from(n) * 60, 1);
    }
    assert_eq!(ledger.groups.len(), 10);
    ledger.take([], |group| group == "eci-99");
    take(&mut ledger, &id(200), 100_000, 1);
    let runs = |group: &str| group == "eci-200";
    ledger.take([], runs);
    assert_eq!(ledger.groups.len(), 1, "but what runs is not");
}

/// A group of the world.
#[derive(Clone, Debug)]
struct Group {
    began: i64,
    used: u64,
    /// As ECI counts it.
    raw: u64,
    alive: bool,
}

#[derive(Clone, Debug)]
enum Event {
    /// A group begins.
    Begin,
    /// The n-th ends.
    End(usize),
    /// ECI counts the n-th anew.
    Reset(usize),
    /// Time passes while each group uses up to two cores.
    Pass { seconds: i64, nanoseconds: u64 },
    /// Somebody asks; of the groups, those of the mask are answered.
    Look { mask: u16 },
    /// An answer of before comes once more.
    Late,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Begin),
        1 => (0..8_usize).prop_map(Event::End),
        1 => (0..8_usize).prop_map(Event::Reset),
        4 => (1..60_i64, 0..2_000_000_000_u64).prop_map(|(seconds, nanoseconds)| Event::Pass { seconds, nanoseconds }),
        4 => prop_oneof![3 => Just(u16::MAX), 1 => any::<u16>()].prop_map(|mask| Event::Look { mask }),
        1 => Just(Event::Late),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever comes, goes, is counted anew or is not answered: no counter falls, and the node's never shows more than was
    /// used.
    #[test]
    fn counters_never_fall(events in prop::collection::vec(event(), 1..80)) {
        let mut ledger = Ledger::default();
        let mut groups: Vec<Group> = Vec::new();
        let mut now = 0_i64;
        let mut last: Vec<(Arc<str>, i64, i64, u64)> = Vec::new();
        let (mut total, mut time) = (0, None);
        let mut of_group: HashMap<Arc<str>, u64> = HashMap::new();
        for event in events {
            match event {
                Event::Begin => groups.push(Group { began: now, used: 0, raw: 0, alive: true }),
                Event::End(n) => if let Some(group) = groups.get_mut(n) { group.alive = false },
                Event::Reset(n) => if let Some(group) = groups.get_mut(n) { group.raw = 0 },
                Event::Pass { seconds, nanoseconds } => {
                    now += seconds;
                    for group in groups.iter_mut().filter(|g| g.alive) {
                        let used = nanoseconds * seconds.unsigned_abs();
                        group.used += used;
                        group.raw += used;
                    }
                }
                Event::Look { mask } => {
                    let living = groups.iter().enumerate().filter(|(n, g)| g.alive && mask & (1 << (n % 16)) != 0);
                    last = living.map(|(n, g)| (Arc::from(format!("eci-{n}")), g.began, now, g.raw)).collect();
                }
                Event::Late => {}
            }
            let readings = last.iter().map(|(group, since, when, raw)| Reading {
                group, since: Some(at(*since)), at: at(*when), raw: *raw,
            });
            let alive = |group: &str| {
                let n = group.trim_start_matches("eci-").parse::<usize>();
                n.is_ok_and(|n| groups.get(n).is_some_and(|g| g.alive))
            };
            ledger.take(readings, alive);
            prop_assert!(ledger.total() >= total, "the node's counter fell");
            total = ledger.total();
            let used: u64 = groups.iter().map(|g| g.used).sum();
            prop_assert!(total <= BEGINNING + used, "{total} of {used}");
            let seen = ledger.time(None);
            prop_assert!(seen >= time);
            time = seen;
            for (group, ..) in &last {
                let (Some(now), before) = (ledger.of(group), of_group.get(group).copied().unwrap_or(0)) else { continue };
                prop_assert!(now >= before, "the counter of {group} fell");
                of_group.insert(group.clone(), now);
            }
        }
    }

    /// Where everything is answered and nothing counted anew, the node's counter is what was used.
    #[test]
    fn nothing_is_lost_or_counted_twice(
        steps in prop::collection::vec((1..30_i64, 0..2_000_000_000_u64, any::<bool>()), 1..40),
    ) {
        let mut ledger = Ledger::default();
        let (mut now, mut all) = (0, Vec::<(i64, u64)>::new());
        for (seconds, nanoseconds, begins) in steps {
            if begins {
                all.push((now, 0));
            }
            now += seconds;
            for (_, used) in &mut all {
                *used += nanoseconds * seconds.unsigned_abs();
            }
            let ids: Vec<Arc<str>> = (0..all.len()).map(|n| Arc::from(format!("eci-{n}"))).collect();
            ledger.take(all.iter().zip(&ids).map(|((since, raw), group)| Reading {
                group, since: Some(at(*since)), at: at(now), raw: *raw,
            }), |_| true);
            let used: u64 = all.iter().map(|(_, used)| used).sum();
            prop_assert_eq!(ledger.total(), BEGINNING + used);
        }
    }
}
