//! Property test: random histories of groups against the books.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use provider::billing::{Rate, Tariff};
use provider::units::NanoMoney;

use super::book::{Answer, Book, Scope, Spending};
use super::terms::{Action, Budget, Limit, Period};

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, in minutes.
    Wait(u16),
    /// A pod wants a group of this price a second.
    Begin(u16),
    /// The oldest group ends.
    End,
    /// The record of a group that is over is told once more.
    Again,
    /// The agent looks.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u16..700).prop_map(Step::Wait),
        3 => (1u16..50).prop_map(Step::Begin),
        2 => Just(Step::End),
        1 => Just(Step::Again),
        4 => Just(Step::Look),
    ]
}

fn scope() -> Scope {
    Scope {
        namespace: "a".into(),
        application: None,
    }
}

fn scopes() -> [Scope; 2] {
    let application = Scope {
        application: Some("x".into()),
        ..scope()
    };
    [application, scope()]
}

fn budget(amount: i128, period: Period) -> Budget {
    let limit = Limit {
        amount: NanoMoney(amount),
        period,
    };
    Budget {
        limit,
        action: Action::Hold,
    }
}

struct World {
    now: Timestamp,
    book: Book,
    budget: Budget,
    living: Vec<Spending>,
    over: Vec<Spending>,
}

impl World {
    fn look(&mut self) {
        let here: Vec<_> = self
            .living
            .iter()
            .map(|group| {
                let spending = Spending {
                    to: self.now,
                    ..group.clone()
                };
                (spending, scopes())
            })
            .collect();
        self.book
            .look(self.now, &HashMap::from([(scope(), self.budget)]), &here);
    }

    /// What was really spent in this period, in the simplest way.
    fn truth(&self) -> NanoMoney {
        let since = self.budget.limit.period.first(self.now);
        let living = self.living.iter().map(|group| Spending {
            to: self.now,
            ..group.clone()
        });
        living
            .chain(self.over.iter().cloned())
            .map(|group| group.between(since, self.now))
            .sum()
    }

    fn spent(&self) -> Option<(Timestamp, NanoMoney)> {
        self.book.states().next().map(|(_, state)| (state.since, state.spent))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn all_is_counted_once_and_nothing_is_granted_beyond(
        steps in prop::collection::vec(step(), 1..80),
        amount in 1i128..2_000_000,
        period in prop::sample::select(vec![Period::Day, Period::Month, Period::Whole]),
    ) {
        let mut world = World {
            now: "2026-01-30T12:00:00Z".parse().expect("a time"),
            book: Book::default(),
            budget: budget(amount, period),
            living: Vec::new(),
            over: Vec::new(),
        };
        for (number, step) in steps.into_iter().enumerate() {
            let before = world.spent();
            match step {
                Step::Wait(minutes) => world.now += SignedDuration::from_mins(minutes.into()),
                Step::Begin(price) => {
                    world.look();
                    let reached = world.truth() >= world.budget.limit.amount;
                    let answer = world.book.ask(&scope(), &world.budget, world.now);
                    prop_assert_eq!(answer, if reached { Answer::Reached } else { Answer::Go });
                    if !reached {
                        let tariff = Tariff::pay_as_you_go(Rate::per_second(NanoMoney(price.into())));
                        let (from, to) = (world.now, world.now);
                        world.living.push(Spending { group: format!("eci-{number}").into(), from, to, tariff, over: false });
                    }
                }
                Step::End => if !world.living.is_empty() {
                    let group = Spending { to: world.now, ..world.living.remove(0) };
                    world.book.ended(&group, &scopes());
                    world.over.push(group);
                },
                Step::Again => if let Some(group) = world.over.first().cloned() {
                    world.book.ended(&group, &scopes());
                },
                Step::Look => {
                    world.look();
                    let told = world.spent().map(|(_, spent)| spent);
                    prop_assert_eq!(told, Some(world.truth()));
                }
            }
            if let (Some((since, earlier)), Some((still, later))) = (before, world.spent()) {
                prop_assert!(since != still || earlier <= later, "{} went down to {}", earlier, later);
            }
        }
        // The next period begins with what it costs itself.
        if let Some(next) = world.budget.limit.period.next(world.now) {
            world.now = next;
            prop_assert_eq!(world.book.ask(&scope(), &world.budget, world.now), Answer::NotCounted);
            world.look();
            prop_assert_eq!(world.book.ask(&scope(), &world.budget, world.now), Answer::Go);
        }
    }
}

#[test]
fn a_bound_that_turns_out_too_high_is_not_taken_back_within_the_period() {
    let now: Timestamp = "2026-01-30T12:00:00Z".parse().expect("a time");
    let mut book = Book::default();
    let budgets = HashMap::from([(scope(), budget(1_000, Period::Day))]);
    let tariff = Tariff::pay_as_you_go(Rate::per_second(NanoMoney(10)));
    let group = Spending {
        group: "eci-1".into(),
        from: now,
        to: now + SignedDuration::from_secs(100),
        tariff,
        over: false,
    };
    let crossed = book.look(group.to, &budgets, &[(group.clone(), scopes())]);
    assert_eq!(crossed.len(), 1);
    let shorter = Spending {
        to: now + SignedDuration::from_secs(50),
        ..group.clone()
    };
    book.ended(&shorter, &scopes());
    assert!(book.look(group.to, &budgets, &[]).is_empty(), "told once");
    assert_eq!(book.ask(&scope(), &budgets[&scope()], group.to), Answer::Reached);
    // Raised: there is money again.
    let raised = HashMap::from([(scope(), budget(10_000, Period::Day))]);
    book.look(group.to, &raised, &[]);
    assert_eq!(book.ask(&scope(), &raised[&scope()], group.to), Answer::Go);
}
