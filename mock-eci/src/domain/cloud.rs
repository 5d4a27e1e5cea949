//! The handle on the domain: what the API and steering call, and the task that feeds it with events and timers.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc};

use super::{
    container::{State as ContainerState, Terminated},
    lifecycle::Status,
    price::Tariff,
    query::{Filter, Page, PageToken},
    resources::{
        Account, Quotas,
        image_cache::{self, NoHit},
    },
    state::{State, Unchangeable},
    stock::{Nowhere, Told},
    tokens::{Fingerprint, Key, Known, Processing},
};
use crate::{
    clock::Clock,
    config::{Currency, Limits},
    domain::group::{Group, Record},
    runtime::{self, AdoptedGroup, Launch, LogLine, LogQuery, Runtime, RuntimeError, RuntimeEvent},
    spec::{GroupId, GroupSpec, Size},
};

/// vCPU quota of an account without any: what ECI's own sample of `ListUsage` shows.
const DOCUMENTED_MAX_CPU: u64 = 1_000_000;
/// The action whose tokens are kept with the groups.
const CREATE: &str = "CreateContainerGroup";
/// Events taken in under one lock.
const BATCH: usize = 256;

/// The cloud: a cheap handle, clones are the same cloud.
#[derive(Clone)]
pub struct Cloud(Arc<Inner>);

struct Inner {
    clock: Clock,
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
    /// An earlier timer was added.
    earlier: Notify,
}

/// What a create led to.
#[derive(Debug)]
pub struct Created {
    /// The group, new or of the first request with this token.
    pub id: GroupId,
    /// To be dropped when the answer is on its way; none when there was no token, or the answer is an old one.
    pub processing: Option<Processing>,
}

/// Why a group is not created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The vCPU quota would be exceeded.
    Quota,
    /// The token came with other parameters before.
    TokenMismatch,
    /// The first request with this token is still being answered.
    TokenProcessing,
    /// There is no place for it.
    Nowhere(Nowhere),
    /// The image cache it names does not exist.
    NoImageCache,
    /// The image cache it names is not Ready, but this.
    ImageCacheStatus(image_cache::Status),
    /// Another group has the address it asks for.
    AddressInUse,
}

/// Why a group is not updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUpdated<E> {
    /// The group cannot be changed, now or at all.
    Group(Unchangeable),
    /// What was asked for is not possible.
    Spec(E),
}

/// What an action led to that is carried out once per token.
#[derive(Debug)]
pub struct Once {
    /// Its result, new or of the first request with this token.
    pub result: Arc<str>,
    /// As in [`Created`].
    pub processing: Option<Processing>,
}

/// Why an action is not carried out.
#[derive(Debug)]
pub enum NotOnce<E> {
    /// The token came with other parameters before.
    TokenMismatch,
    /// The first request with this token is still being answered.
    TokenProcessing,
    /// For a reason of its own.
    Refused(E),
}

/// Why there is no log.
#[derive(Debug)]
pub enum NoLog {
    /// No such group.
    Group,
    /// No such container.
    Container,
    /// The runtime failed.
    Runtime(RuntimeError),
}

impl Cloud {
    /// An empty cloud on a runtime.
    pub fn new(clock: Clock, runtime: Arc<dyn Runtime>, seed: u64, currency: Currency, limits: Limits) -> Self {
        let mut state = State::new(seed, currency, DOCUMENTED_MAX_CPU, Quotas::DOCUMENTED);
        state.enforce(limits.enforced());
        let state = Mutex::new(state);
        Self(Arc::new(Inner {
            clock,
            runtime,
            state,
            earlier: Notify::new(),
        }))
    }

    /// The cloud's time.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// All it remembers, locked. Hold it briefly: everything else waits.
    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take the whole cloud down: the tables are sound after each step.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to what the account has beside groups. What it leads to later is seen to.
    pub fn account<T>(&self, act: impl FnOnce(&mut Account, jiff::Timestamp) -> T) -> T {
        let now = self.0.clock.now();
        let done = act(&mut self.state().account, now);
        self.0.earlier.notify_one();
        done
    }

    /// Feeds events and timers in, for ever.
    pub async fn run(self, mut events: mpsc::UnboundedReceiver<RuntimeEvent>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let next = {
                let state = self.state();
                state.timers.next().into_iter().chain(state.account.next_due()).min()
            };
            let timer = async {
                match next {
                    Some(at) => self.0.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = events.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    let mut state = self.state();
                    for event in batch.drain(..) {
                        state.on_runtime_event(event, &*self.0.runtime);
                    }
                }
                () = timer => {
                    let now = self.0.clock.now();
                    let mut state = self.state();
                    while let Some(timer) = state.timers.pop_due(now) {
                        state.on_timer(timer, now, &*self.0.runtime);
                    }
                    state.account.advance(now);
                }
                () = self.0.earlier.notified() => {}
            }
        }
    }

    /// Creates a group, or finds the one this token created before.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn create(&self, mut spec: GroupSpec, token: Option<(&str, Fingerprint)>) -> Result<Created, Refused> {
        let now = self.0.clock.now();
        let mut state = self.state();
        if let Some((token, fingerprint)) = token {
            match state.tokens.look_up(&Key::new(CREATE, token), fingerprint, now) {
                Known::New => {}
                Known::Done(id) => {
                    return Ok(Created {
                        id: GroupId::from(&*id),
                        processing: None,
                    });
                }
                Known::Processing => return Err(Refused::TokenProcessing),
                Known::Mismatch => return Err(Refused::TokenMismatch),
            }
        }
        if state.used_milli_cpu() + spec.size.milli_cpu > state.quota_milli_cpu() {
            return Err(Refused::Quota);
        }
        if let Some(ip) = spec.network.private_ip
            && state.has_address(IpAddr::V4(ip))
        {
            return Err(Refused::AddressInUse);
        }
        let told = state.place(&mut spec, now).map_err(Refused::Nowhere)?;
        let cached = state.image_cache_for(&spec, now).map_err(|none| match none {
            NoHit::NotFound => Refused::NoImageCache,
            NoHit::Status(status) => Refused::ImageCacheStatus(status),
        })?;
        let spec = Arc::new(spec);
        let id = state.add(None, spec.clone(), now);
        state.note_image_cache(&id, cached.as_ref(), now);
        let processing = token.map(|(t, fingerprint)| {
            state
                .tokens
                .remember(Key::new(CREATE, t), fingerprint, id.as_str(), now)
        });
        let mut record = runtime::Record::default();
        if self.0.runtime.survives() {
            let token = token.map(|(t, fingerprint)| (t.to_owned(), fingerprint.to_hex()));
            state.edit(&id, now, |group| group.token = token.map(Box::new));
            record = state.group(id.as_str()).and_then(Group::record).unwrap_or_default();
        }
        if told == Told::Later {
            state.search_in_vain(&id, now);
        } else {
            self.0.runtime.launch(Launch {
                id: id.clone(),
                spec,
                record,
                cached_images: cached.map(|hit| hit.images).unwrap_or_default(),
            });
        }
        drop(state);
        self.0.earlier.notify_one();
        Ok(Created { id, processing })
    }

    /// Carries an action out, unless it was with this token before: then its first result is given again.
    ///
    /// # Errors
    /// [`NotOnce`]. A refused action does not use its token up.
    pub fn once<E>(
        &self,
        token: Option<(Key, Fingerprint)>,
        act: impl FnOnce() -> Result<String, E>,
    ) -> Result<Once, NotOnce<E>> {
        let now = self.0.clock.now();
        let Some((key, fingerprint)) = token else {
            return Ok(Once {
                result: act().map_err(NotOnce::Refused)?.into(),
                processing: None,
            });
        };
        let processing = {
            let tokens = &mut self.state().tokens;
            match tokens.look_up(&key, fingerprint, now) {
                // From here on another call with it is told to wait.
                Known::New => tokens.remember(key.clone(), fingerprint, "", now),
                Known::Done(result) => {
                    return Ok(Once {
                        result,
                        processing: None,
                    });
                }
                Known::Processing => return Err(NotOnce::TokenProcessing),
                Known::Mismatch => return Err(NotOnce::TokenMismatch),
            }
        };
        match act() {
            Ok(result) => {
                self.state().tokens.settle(&key, &result);
                Ok(Once {
                    result: result.into(),
                    processing: Some(processing),
                })
            }
            Err(refused) => {
                self.state().tokens.forget(&key);
                Err(NotOnce::Refused(refused))
            }
        }
    }

    /// Deletes a group; false = there is none of this id.
    pub fn delete(&self, id: &str, force: bool) -> bool {
        let now = self.0.clock.now();
        self.state().delete(id, force, now, &*self.0.runtime)
    }

    /// Resolves once what was last decided about a group survives this process; none where nothing does.
    pub fn kept(&self, id: &str) -> Option<BoxFuture<'static, ()>> {
        let runtime = &self.0.runtime;
        runtime.survives().then(|| runtime.kept(&GroupId::from(id)))
    }

    /// Restarts a group.
    ///
    /// # Errors
    /// [`Unchangeable`].
    pub fn restart(&self, id: &str) -> Result<(), Unchangeable> {
        let now = self.0.clock.now();
        self.state().restart(id, now, &*self.0.runtime)
    }

    /// Makes a group what `change` makes of its spec.
    ///
    /// # Errors
    /// [`NotUpdated`].
    pub fn update<E>(
        &self,
        id: &str,
        change: impl FnOnce(&GroupSpec) -> Result<GroupSpec, E>,
    ) -> Result<(), NotUpdated<E>> {
        let now = self.0.clock.now();
        let mut state = self.state();
        let old = &state.changeable(id).map_err(NotUpdated::Group)?.spec;
        let spec = change(old).map_err(NotUpdated::Spec)?;
        let updated = state.update(id, spec, now, &*self.0.runtime);
        updated.map_err(NotUpdated::Group)
    }

    /// Takes a group's spot resources back after a notice; false = there is no such live group.
    pub fn reclaim(&self, id: &str, notice: Duration) -> bool {
        let now = self.0.clock.now();
        let done = self.state().reclaim(id, notice, now, &*self.0.runtime);
        self.0.earlier.notify_one();
        done
    }

    /// Forgets a group that has ended; false = there is no such group.
    pub fn forget(&self, id: &str) -> bool {
        let now = self.0.clock.now();
        self.state().forget(id, now, &*self.0.runtime)
    }

    /// One page of groups; see [`State::select`].
    pub fn select(&self, filter: &Filter, limit: usize, from: Option<PageToken>, show: impl FnMut(&mut Group)) -> Page {
        self.state().select(filter, limit, from, show)
    }

    /// Lines of a container's log; `previous` = of the instance before the newest.
    ///
    /// # Errors
    /// [`NoLog`].
    pub async fn logs(
        &self,
        id: &str,
        container: &str,
        previous: bool,
        tail: usize,
        since: Option<jiff::Timestamp>,
    ) -> Result<Vec<LogLine>, NoLog> {
        let (id, instance) = {
            let state = self.state();
            let group = state.group(id).ok_or(NoLog::Group)?;
            let index = group.index_of(container).ok_or(NoLog::Container)?;
            let record = &group.containers[index];
            let never_ran = !record.ever_started && matches!(record.state, ContainerState::Waiting { .. });
            let instance = if previous {
                record.instance.checked_sub(1)
            } else {
                Some(record.instance)
            };
            let Some(instance) = instance.filter(|_| !never_ran) else {
                return Ok(Vec::new());
            };
            (group.id.clone(), instance)
        };
        match self
            .0
            .runtime
            .logs(&id, container, LogQuery { instance, tail, since })
            .await
        {
            Ok(lines) => Ok(lines),
            // The instance is being started: it has no log yet.
            Err(RuntimeError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(NoLog::Runtime(error)),
        }
    }

    /// Removes every group with all that runs, the ledger and the tokens.
    ///
    /// # Errors
    /// When the runtime cannot remove everything.
    pub async fn reset(&self) -> Result<(), RuntimeError> {
        self.state().clear();
        self.0.runtime.reset().await?;
        // A create that came in between was removed by the runtime too.
        self.state().clear();
        Ok(())
    }

    /// Takes over the groups an earlier process left with the runtime.
    ///
    /// # Errors
    /// When the runtime cannot list them.
    pub async fn adopt(&self) -> Result<usize, RuntimeError> {
        let mut adopted = 0;
        for found in self.0.runtime.adopt().await? {
            let id = found.id.clone();
            if self.adopt_one(found) {
                adopted += 1;
            } else {
                tracing::warn!(group = %id, "removing a group whose record cannot be read");
                self.0.runtime.remove(&id);
            }
        }
        self.0.earlier.notify_one();
        Ok(adopted)
    }

    fn adopt_one(&self, found: AdoptedGroup) -> bool {
        let Ok(record) = serde_json::from_str::<Record>(&found.record.0) else {
            return false;
        };
        let now = self.0.clock.now();
        let mut state = self.state();
        let id = state.add(Some(found.id.clone()), Arc::new(record.spec), record.created_at);
        state
            .ledger
            .with(&id, |entry| entry.past_sizes.clone_from(&record.past_sizes));
        if let (Some(token), Some(fingerprint)) = (
            &record.client_token,
            record.fingerprint.as_deref().and_then(Fingerprint::from_hex),
        ) {
            drop(
                state
                    .tokens
                    .remember(Key::new(CREATE, token), fingerprint, id.as_str(), record.created_at),
            );
        }
        let at = record.created_at;
        let token = record.client_token.zip(record.fingerprint);
        let runtime = &*self.0.runtime;
        let mut event = |kind, at| {
            state.on_runtime_event(
                RuntimeEvent {
                    group: id.clone(),
                    at,
                    kind,
                },
                runtime,
            );
        };
        event(runtime::RuntimeEventKind::Scheduled, at);
        event(runtime::RuntimeEventKind::PullStarted, at);
        state.edit(&id, now, |group| {
            group.ip = found.ip;
            group.token = token.map(Box::new);
            group.past_sizes = record.past_sizes;
            for known in found.containers {
                let Some(index) = group.index_of(&known.name) else {
                    continue;
                };
                let container = &mut group.containers[index];
                container.instance = known.instance;
                let ran = known.started_at.is_some();
                container.restarts = known.instance.saturating_sub(u32::from(!ran));
                container.ran = known.started_at.is_some();
                container.ever_started = known.started_at.is_some() || known.instance > 0;
                container.container_id = known.container_id.clone();
                container.image_id = known.image_id;
                container.state = match (known.started_at, known.exited) {
                    (_, Some((finished_at, exit))) => ContainerState::Terminated(Terminated {
                        started_at: known.started_at,
                        finished_at,
                        exit,
                        container_id: known.container_id,
                    }),
                    (Some(started_at), None) => ContainerState::Running { started_at },
                    (None, None) => continue,
                };
            }
            let inits_done = group.inits().all(|(_, c)| c.ended() == Some(true));
            group.initialized_at = inits_done.then_some(at);
        });
        match record.ending {
            Some(ending) => state.restore(&id, ending, now, runtime),
            None => state.resume(&id, found.ip.is_some(), now, runtime),
        }
        true
    }

    /// Spot price of one hour of a size in a zone now, in 10⁻⁹ of the currency unit.
    pub fn spot_price(&self, tariff: Tariff, zone: &str, size: Size) -> u64 {
        let now = self.0.clock.now();
        let market = &self.state().ledger.market;
        market.tariff_nano_per_hour(tariff, zone, size, now)
    }

    /// Ends the containers of one group as its owner cannot: steering's hand on the runtime.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }

    /// Status of a group.
    pub fn status(&self, id: &str) -> Option<Status> {
        self.state().group(id).map(|g| g.status)
    }
}
