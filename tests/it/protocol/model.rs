//! The protocol as a model, checked exhaustively within bounds. It says nothing
//! of DynamoDB or Rust: a partition of a few keys, one record, two workers, and a
//! network that loses answers, repeats writes and delivers them late.
//!
//! Each step names the function that it stands for. Leases are left out: a
//! takeover may happen at any time, so that no property rests on a clock. The
//! mutations are what the protocol must not do; each has to be found out.

#![expect(
    clippy::struct_excessive_bools,
    clippy::too_many_lines,
    reason = "a model is one state and one step function"
)]

use std::collections::BTreeSet;

use stateright::{Checker, Model, Property};

/// The most keys of any bounds, the racing writer's included.
const MOST_KEYS: usize = 5;

/// Who else writes into the campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    None,
    /// One that puts one key, if the campaign is not claimed.
    Fenced,
    /// One that puts one key, at any time.
    Unfenced,
}

/// How large the world is.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Keys that are there from the start.
    keys: usize,
    /// Keys in a page.
    page: usize,
    /// Claims and takeovers that are tried.
    holds: u8,
    /// Requests that arrive late, after their sender has given them up.
    late: usize,
    /// Renewals of the lease.
    renewals: usize,
    writer: Writer,
    /// Where the writer's key sorts.
    writer_key: usize,
}

/// What is wrong with the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    None,
    CountAfterDelete,
    CountAheadWithoutVersion,
    RenewalWithoutVersion,
    FinishWithoutVersion,
    OwnByVersionAlone,
    TakeoverByLeaseAlone,
    MarkMovesBack,
    MarksStartAnewTooEarly,
    OnlyCountedThroughStartsAgain,
    OnlyDeletedThroughStartsAgain,
    NoEmptyRead,
    ReadsBesideTheClaim,
}

/// `deletion::Record`: what matters of it. Marks are numbers of keys; version 0
/// is no record.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    done: bool,
    version: u8,
    owner: u8,
    counted: [u8; MOST_KEYS],
    counted_through: usize,
    deleted_through: usize,
}

/// Which write of the record.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `Table::claim` of version 0, else `Hold::take_over`.
    Take,
    CountAhead,
    Renewal,
    Release,
    Finish,
}

/// A request on the network.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    /// A write of the record, conditional on the version before `next`'s.
    Write(Kind, Record),
    /// A delete of one key.
    Delete(usize),
}

/// What a worker is at.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Step {
    /// It holds nothing.
    Idle,
    /// It has read the record, and may claim or take over.
    Looked,
    /// It holds the deletion.
    Drains,
    /// So, and a write of the record has no answer yet.
    Waits(Kind, Record),
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Worker {
    step: Step,
    /// `Hold::owner`.
    owner: u8,
    /// `Hold::record`.
    seen: Record,
    /// `Reader`: where the next page starts, and whether that is the end.
    read_to: usize,
    at_the_end: bool,
    /// A page that was read ahead.
    ahead: BTreeSet<usize>,
    /// A page that is counted, behind the one that is deleted.
    counted: BTreeSet<usize>,
    /// Deletes that are not acknowledged.
    deleting: BTreeSet<usize>,
    /// `Drain::deleted_through`, and what it is once `deleting` is empty.
    deleted_through: usize,
    deleted_next: usize,
    /// `Drain::begins_pass`.
    begins_pass: bool,
    from_the_start: bool,
    found: bool,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct World {
    present: [bool; MOST_KEYS],
    campaign: bool,
    record: Record,
    /// The record when it was done first.
    closed: Option<Record>,
    workers: [Worker; 2],
    next_owner: u8,
    late: BTreeSet<Message>,
    late_left: usize,
    renewals_left: usize,
    /// The writer has put its key.
    written: bool,
    /// It did so when a reading that has found nothing was past that key, or a
    /// finish that follows from such a one was on its way or done.
    behind_an_empty_reading: bool,
    /// A takeover, or a delete that was repeated or late, has happened.
    disturbed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// `claim::attach`.
    Look(usize),
    /// `Table::claim`, `Hold::take_over`.
    Take(usize),
    /// The first page, while the claim is on its way: only a mutation does that.
    ReadAhead(usize),
    /// `Reader::next`.
    ReadPage(usize),
    /// `Drain::count`, `Hold::count_ahead`.
    CountAhead(usize),
    /// `drain::delete_all`: a delete is applied and acknowledged.
    Delete(usize, usize),
    /// A delete is applied, and its answer is lost: it will be repeated.
    DeleteUnanswered(usize, usize),
    /// A delete is repeated while the first one is still on the way.
    DeleteRepeated(usize, usize),
    /// `Hold::keeping`.
    Renew(usize),
    /// `Drain::run`: another pass.
    NextPass(usize),
    /// `Hold::finish`.
    Finish(usize),
    /// `Hold::release`.
    Release(usize),
    /// `Table::write_record`, `Table::finish`: applied or refused, and answered.
    Answered(usize),
    /// Applied, and the answer is lost: it will be repeated.
    AnswerLost(usize),
    /// Repeated, while the first one is still on the way.
    Repeated(usize),
    /// The worker dies, or gives an unanswered write up.
    Dies(usize),
    /// It dies, and what it has sent is still on the way.
    DiesSending(usize),
    /// A request that its sender has given up arrives.
    Arrives(Message),
    /// The other writer puts its key.
    Put,
}

impl Record {
    const NONE: Self = Self {
        done: false,
        version: 0,
        owner: 0,
        counted: [0; MOST_KEYS],
        counted_through: 0,
        deleted_through: 0,
    };

    /// The record after a write that changes nothing else.
    fn next(self, owner: u8) -> Self {
        Self {
            version: self.version + 1,
            owner,
            ..self
        }
    }
}

impl Worker {
    fn idle() -> Self {
        Self {
            step: Step::Idle,
            owner: 0,
            seen: Record::NONE,
            read_to: 0,
            at_the_end: false,
            ahead: BTreeSet::new(),
            counted: BTreeSet::new(),
            deleting: BTreeSet::new(),
            deleted_through: 0,
            deleted_next: 0,
            begins_pass: false,
            from_the_start: false,
            found: false,
        }
    }

    /// `Drain::new`: continues where the record says.
    fn holding(owner: u8, record: Record) -> Self {
        Self {
            step: Step::Drains,
            owner,
            seen: record,
            read_to: record.deleted_through,
            deleted_through: record.deleted_through,
            from_the_start: record.deleted_through == 0,
            ..Self::idle()
        }
    }

    fn holds(&self) -> bool {
        matches!(self.step, Step::Drains | Step::Waits(..)) && self.seen.version > 0
    }

    fn pass_is_read(&self) -> bool {
        self.at_the_end && self.ahead.is_empty() && self.counted.is_empty()
    }

    /// A delete is acknowledged.
    fn acknowledge(&mut self, key: usize) {
        self.deleting.remove(&key);
        self.advance();
    }

    /// Continues with the page that is counted, once every delete is acknowledged.
    fn advance(&mut self) {
        if self.deleting.is_empty() {
            self.deleted_through = self.deleted_next.max(self.deleted_through);
            self.deleting = std::mem::take(&mut self.counted);
            if let Some(last) = self.deleting.last() {
                self.deleted_next = last + 1;
            }
        }
    }
}

struct Protocol {
    bounds: Bounds,
    mutation: Mutation,
}

impl Protocol {
    fn keys(&self) -> usize {
        self.bounds.keys + usize::from(self.bounds.writer != Writer::None)
    }

    fn is_original(&self, key: usize) -> bool {
        self.bounds.writer == Writer::None || key != self.bounds.writer_key
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == mutation
    }

    /// Applies a request to the table; whether its condition held.
    fn apply(&self, world: &mut World, message: Message) -> bool {
        let (kind, next) = match message {
            Message::Delete(key) => {
                world.present[key] = false;
                return true;
            }
            Message::Write(kind, next) => (kind, next),
        };
        let unconditional = match kind {
            Kind::Take => next.version > 1 && self.is(Mutation::TakeoverByLeaseAlone),
            Kind::CountAhead => self.is(Mutation::CountAheadWithoutVersion),
            Kind::Renewal => self.is(Mutation::RenewalWithoutVersion),
            Kind::Finish => self.is(Mutation::FinishWithoutVersion),
            Kind::Release => false,
        };
        let record = &mut world.record;
        if record.done || !(unconditional || record.version + 1 == next.version) {
            return false;
        }
        record.version = next.version;
        record.owner = next.owner;
        match kind {
            Kind::Take | Kind::Renewal => {}
            Kind::CountAhead | Kind::Release => {
                record.counted = next.counted;
                record.counted_through = next.counted_through;
                record.deleted_through = next.deleted_through;
            }
            Kind::Finish => {
                record.done = true;
                world.campaign = false;
                world.closed = Some(*record);
            }
        }
        true
    }

    /// `Reader::next`.
    fn read_page(&self, world: &mut World, of: usize) {
        let worker = &mut world.workers[of];
        let keys = (worker.read_to..self.keys()).filter(|key| world.present[*key]);
        let page: BTreeSet<usize> = keys.take(self.bounds.page).collect();
        match page.last() {
            Some(last) if page.len() == self.bounds.page => worker.read_to = last + 1,
            _ => worker.read_to = self.keys(),
        }
        worker.at_the_end = worker.read_to == self.keys();
        worker.found |= !page.is_empty();
        if self.is(Mutation::CountAfterDelete) {
            worker.deleting.clone_from(&page);
            worker.deleted_next = page.last().map_or(worker.deleted_next, |last| last + 1);
        }
        worker.ahead = page;
    }

    /// `Drain::count`: the record that counts the page ahead, or none if it is
    /// counted already.
    fn count(&self, worker: &Worker) -> Option<Record> {
        let mut next = worker.seen.next(worker.owner);
        next.deleted_through = worker.deleted_through;
        if worker.begins_pass {
            if !self.is(Mutation::OnlyDeletedThroughStartsAgain) {
                next.counted_through = 0;
            }
            next.deleted_through = if self.is(Mutation::OnlyCountedThroughStartsAgain) {
                worker.seen.counted_through
            } else {
                0
            };
        }
        for key in &worker.ahead {
            if *key >= next.counted_through {
                next.counted[*key] += 1;
            }
        }
        let last = worker.ahead.last().map_or(0, |last| last + 1);
        if self.is(Mutation::MarkMovesBack) {
            next.counted_through = last;
            return Some(next);
        }
        let counted_through = next.counted_through.max(last);
        let changes = counted_through != next.counted_through || worker.begins_pass;
        next.counted_through = counted_through;
        changes.then_some(next)
    }

    /// The page ahead is counted; it is deleted after the one before.
    fn counted(&self, worker: &mut Worker) {
        let page = std::mem::take(&mut worker.ahead);
        if self.is(Mutation::CountAfterDelete) {
            return;
        }
        if std::mem::take(&mut worker.begins_pass) {
            worker.deleted_through = 0;
            worker.deleted_next = 0;
        }
        worker.counted = page;
        worker.advance();
    }

    /// A write is answered, and the worker continues or stops.
    fn answered(&self, world: &mut World, of: usize, kind: Kind, next: Record) {
        let applied = self.apply(world, Message::Write(kind, next));
        let record = world.record;
        let worker = &mut world.workers[of];
        let own = record.version == next.version
            && (record.owner == next.owner || self.is(Mutation::OwnByVersionAlone));
        if !applied && !own {
            *worker = Worker::idle();
            return;
        }
        match kind {
            Kind::Take => {
                world.disturbed |= next.version > 1;
                let read = std::mem::replace(worker, Worker::holding(worker.owner, record));
                // Only the mutation has read anything. Not even that it takes the
                // reading for one that shows emptiness.
                if read.read_to > 0 {
                    worker.read_to = read.read_to;
                    worker.at_the_end = read.at_the_end;
                    worker.ahead = read.ahead;
                    worker.found = read.found;
                    worker.from_the_start = false;
                }
            }
            Kind::CountAhead => {
                worker.step = Step::Drains;
                worker.seen = record;
                self.counted(worker);
            }
            Kind::Renewal => {
                worker.step = Step::Drains;
                worker.seen = record;
            }
            Kind::Release | Kind::Finish => *worker = Worker::idle(),
        }
    }

    fn may_count(&self, worker: &Worker) -> bool {
        let behind = if self.is(Mutation::CountAfterDelete) {
            &worker.deleting
        } else {
            &worker.counted
        };
        worker.step == Step::Drains && !worker.ahead.is_empty() && behind.is_empty()
    }

    fn may_end_the_pass(&self, worker: &Worker) -> bool {
        let acknowledged = worker.deleting.is_empty() || self.is(Mutation::MarksStartAnewTooEarly);
        worker.step == Step::Drains && worker.pass_is_read() && acknowledged
    }

    fn actions_of(&self, world: &World, of: usize, actions: &mut Vec<Action>) {
        let worker = &world.workers[of];
        match worker.step {
            Step::Idle if !world.record.done => actions.push(Action::Look(of)),
            Step::Idle => {}
            Step::Looked => actions.push(Action::Take(of)),
            Step::Waits(kind, next) => {
                let is_claim = kind == Kind::Take && next.version == 1;
                if self.is(Mutation::ReadsBesideTheClaim) && is_claim && worker.read_to == 0 {
                    actions.push(Action::ReadAhead(of));
                }
                actions.extend([Action::Answered(of), Action::AnswerLost(of)]);
                if world.late_left > 0 {
                    actions.extend([Action::Repeated(of), Action::DiesSending(of)]);
                }
            }
            Step::Drains => {
                if !worker.deleting.is_empty() && world.renewals_left > 0 {
                    actions.push(Action::Renew(of));
                }
                actions.push(Action::Release(of));
            }
        }
        if worker.step != Step::Idle {
            actions.push(Action::Dies(of));
        }
        if worker.holds() && !worker.at_the_end && worker.ahead.is_empty() {
            actions.push(Action::ReadPage(of));
        }
        if self.may_count(worker) {
            actions.push(Action::CountAhead(of));
        }
        if worker.holds() {
            for key in &worker.deleting {
                actions.push(Action::Delete(of, *key));
                if world.present[*key] {
                    actions.push(Action::DeleteUnanswered(of, *key));
                }
                if world.late_left > 0 {
                    actions.push(Action::DeleteRepeated(of, *key));
                }
            }
        }
        if self.may_end_the_pass(worker) {
            let empty = worker.from_the_start && !worker.found;
            if empty || self.is(Mutation::NoEmptyRead) {
                actions.push(Action::Finish(of));
            } else {
                actions.push(Action::NextPass(of));
            }
        }
    }

    fn step(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let wait = |worker: &mut Worker, kind, next| worker.step = Step::Waits(kind, next);
        match action {
            Action::Look(of) => {
                world.workers[of].step = Step::Looked;
                world.workers[of].seen = world.record;
            }
            Action::Take(of) => {
                let worker = &mut world.workers[of];
                worker.owner = world.next_owner;
                let next = worker.seen.next(worker.owner);
                // Until it is answered, nothing is held.
                worker.seen = Record::NONE;
                wait(worker, Kind::Take, next);
                world.next_owner += 1;
            }
            Action::ReadAhead(of) | Action::ReadPage(of) => self.read_page(&mut world, of),
            Action::CountAhead(of) => {
                let worker = &mut world.workers[of];
                match self.count(worker) {
                    Some(next) => wait(worker, Kind::CountAhead, next),
                    None => self.counted(worker),
                }
            }
            Action::Delete(of, key) => {
                self.apply(&mut world, Message::Delete(key));
                world.workers[of].acknowledge(key);
            }
            Action::DeleteUnanswered(_, key) => {
                self.apply(&mut world, Message::Delete(key));
                world.disturbed = true;
            }
            Action::DeleteRepeated(_, key) => {
                if !world.late.insert(Message::Delete(key)) {
                    return None;
                }
                world.late_left -= 1;
                world.disturbed = true;
            }
            Action::Renew(of) => {
                let worker = &mut world.workers[of];
                let next = worker.seen.next(worker.owner);
                wait(worker, Kind::Renewal, next);
                world.renewals_left -= 1;
            }
            Action::NextPass(of) => {
                let worker = &mut world.workers[of];
                worker.begins_pass = true;
                worker.read_to = 0;
                worker.at_the_end = false;
                worker.from_the_start = true;
                worker.found = false;
            }
            Action::Finish(of) => {
                let worker = &mut world.workers[of];
                let next = worker.seen.next(worker.owner);
                wait(worker, Kind::Finish, Record { done: true, ..next });
            }
            Action::Release(of) => {
                let worker = &mut world.workers[of];
                let mut next = worker.seen.next(worker.owner);
                next.deleted_through = worker.deleted_through;
                wait(worker, Kind::Release, next);
            }
            Action::Answered(of) => {
                if let Step::Waits(kind, next) = last.workers[of].step {
                    self.answered(&mut world, of, kind, next);
                }
            }
            Action::AnswerLost(of) => {
                if let Step::Waits(kind, next) = last.workers[of].step
                    && !self.apply(&mut world, Message::Write(kind, next))
                {
                    return None;
                }
            }
            Action::Repeated(of) | Action::DiesSending(of) => {
                if let Step::Waits(kind, next) = last.workers[of].step {
                    if !world.late.insert(Message::Write(kind, next)) {
                        return None;
                    }
                    world.late_left -= 1;
                }
                if action == Action::DiesSending(of) {
                    world.workers[of] = Worker::idle();
                }
            }
            Action::Dies(of) => world.workers[of] = Worker::idle(),
            Action::Arrives(message) => {
                world.late.remove(&message);
                self.apply(&mut world, message);
            }
            Action::Put => {
                world.present[self.bounds.writer_key] = true;
                world.written = true;
                let past = |worker: &Worker| {
                    worker.holds()
                        && worker.from_the_start
                        && !worker.found
                        && worker.read_to > self.bounds.writer_key
                };
                let closes = |message: &Message| matches!(message, Message::Write(Kind::Finish, _));
                world.behind_an_empty_reading = last.record.done
                    || last.workers.iter().any(past)
                    || last.late.iter().any(closes);
            }
        }
        Some(world)
    }

    /// Whether a worker that is alone from here on finishes, with every
    /// original counted once.
    ///
    /// Looked at where both workers are dead: every state leads to such a one.
    fn a_worker_alone_finishes(&self, world: &World) -> bool {
        if world.workers.iter().any(|worker| worker.step != Step::Idle) {
            return true;
        }
        let mut world = world.clone();
        world.late.clear();
        world.late_left = 0;
        for _ in 0..100 {
            if world.record.done {
                return self.every_original_is_counted_and_gone(&world);
            }
            let mut actions = Vec::new();
            self.actions_of(&world, 0, &mut actions);
            let goes_on = |action: &&Action| {
                !matches!(
                    action,
                    Action::Dies(_)
                        | Action::Release(_)
                        | Action::Renew(_)
                        | Action::AnswerLost(_)
                        | Action::DeleteUnanswered(..)
                )
            };
            let next = actions.iter().find(goes_on);
            match next.and_then(|action| self.step(&world, *action)) {
                Some(next) => world = next,
                None => return false,
            }
        }
        false
    }

    fn every_original_is_counted_and_gone(&self, world: &World) -> bool {
        (0..self.keys())
            .filter(|key| self.is_original(*key) || self.written_behind_the_fence(world))
            .all(|key| world.record.counted[key] == 1 && !world.present[key])
    }

    fn written_behind_the_fence(&self, world: &World) -> bool {
        self.bounds.writer == Writer::Fenced && world.written
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut present = [false; MOST_KEYS];
        for (key, there) in present.iter_mut().enumerate().take(self.keys()) {
            *there = self.is_original(key);
        }
        vec![World {
            present,
            campaign: true,
            record: Record::NONE,
            closed: None,
            workers: [Worker::idle(), Worker::idle()],
            next_owner: 1,
            late: BTreeSet::new(),
            late_left: self.bounds.late,
            renewals_left: self.bounds.renewals,
            written: false,
            behind_an_empty_reading: false,
            disturbed: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for of in 0..world.workers.len() {
            let from = actions.len();
            self.actions_of(world, of, actions);
            if world.next_owner > self.bounds.holds {
                let tail = actions.split_off(from);
                let allowed =
                    |action: &Action| !matches!(action, Action::Look(_) | Action::Take(_));
                actions.extend(tail.into_iter().filter(allowed));
            }
        }
        actions.extend(world.late.iter().copied().map(Action::Arrives));
        let open = match self.bounds.writer {
            Writer::None => false,
            Writer::Fenced => world.record.version == 0,
            Writer::Unfenced => true,
        };
        if open && !world.written {
            actions.push(Action::Put);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        self.step(last, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is counted twice", |_: &Self, world: &World| {
                world.record.counted.iter().all(|count| *count <= 1)
            }),
            Property::always(
                "done is everything counted and gone",
                |this: &Self, world: &World| {
                    !world.record.done || this.every_original_is_counted_and_gone(world)
                },
            ),
            Property::always(
                "done leaves nothing that was counted",
                |_: &Self, world: &World| {
                    let left = |key: usize| world.present[key] && world.record.counted[key] > 0;
                    !world.record.done || !(0..MOST_KEYS).any(left)
                },
            ),
            Property::always(
                "done leaves what came behind the last empty reading alone",
                |this: &Self, world: &World| {
                    let left = world.written && world.present[this.bounds.writer_key];
                    !(world.record.done && left) || world.behind_an_empty_reading
                },
            ),
            Property::always(
                "the campaign goes last, with the record",
                |_: &Self, world: &World| world.campaign != world.record.done,
            ),
            Property::always(
                "a closed record never changes",
                |_: &Self, world: &World| world.closed.is_none_or(|closed| closed == world.record),
            ),
            Property::always(
                "a straggler is counted or there, unless something was repeated",
                |this: &Self, world: &World| {
                    let key = this.bounds.writer_key;
                    this.bounds.writer != Writer::Unfenced
                        || world.disturbed
                        || !world.written
                        || world.present[key]
                        || world.record.counted[key] == 1
                },
            ),
            Property::always("a worker alone can finish", Self::a_worker_alone_finishes),
            Property::sometimes("it is done", |_: &Self, world: &World| world.record.done),
            Property::sometimes(
                "by another worker than the first",
                |_: &Self, world: &World| world.record.done && world.record.owner > 1,
            ),
        ]
    }
}

const SMALL: Bounds = Bounds {
    keys: 2,
    page: 1,
    holds: 2,
    late: 1,
    renewals: 1,
    writer: Writer::None,
    writer_key: 0,
};

/// States explored, if every property holds in all of them.
fn states(bounds: Bounds) -> usize {
    let model = Protocol {
        bounds,
        mutation: Mutation::None,
    };
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    println!("{bounds:?}: {} states", checker.unique_state_count());
    checker.unique_state_count()
}

/// The property that a mutation breaks within these bounds.
fn broken(mutation: Mutation, bounds: Bounds) -> Option<&'static str> {
    let model = Protocol { bounds, mutation };
    let checker = model
        .checker()
        .threads(2)
        .finish_when(stateright::HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let always = |name: &&&str| !name.starts_with("it is") && !name.starts_with("by another");
    let discoveries = checker.discoveries();
    discoveries.keys().find(always).copied()
}

/// Bounds that are explored each time, and larger ones for `MODEL=full`. Each is
/// keys, page, holds, late requests, renewals and the writer.
const EACH_TIME: [(usize, usize, u8, usize, usize, Writer); 5] = [
    (2, 1, 2, 1, 0, Writer::None),
    (3, 2, 2, 0, 1, Writer::None),
    (1, 1, 3, 1, 0, Writer::None),
    (1, 1, 2, 1, 0, Writer::Fenced),
    (1, 1, 2, 1, 0, Writer::Unfenced),
];
const FULL: [(usize, usize, u8, usize, usize, Writer); 5] = [
    (2, 1, 2, 1, 1, Writer::None),
    (3, 1, 2, 1, 0, Writer::None),
    (2, 1, 3, 1, 0, Writer::None),
    (2, 1, 2, 1, 0, Writer::Fenced),
    (2, 1, 2, 1, 0, Writer::Unfenced),
];

#[test]
fn the_protocol_holds_in_every_state_within_the_bounds() {
    let mut all = EACH_TIME.to_vec();
    if std::env::var("MODEL").is_ok_and(|model| model == "full") {
        all.extend(FULL);
    }
    for (keys, page, holds, late, renewals, writer) in all {
        let bounds = Bounds {
            keys,
            page,
            holds,
            late,
            renewals,
            writer,
            writer_key: 0,
        };
        assert!(states(bounds) > 1_000);
    }
}

#[test]
fn every_mutation_breaks_a_property() {
    let small = Bounds { late: 0, ..SMALL };
    let raced = Bounds {
        keys: 1,
        writer: Writer::Unfenced,
        ..small
    };
    let fenced = Bounds {
        keys: 1,
        writer: Writer::Fenced,
        ..small
    };
    for (mutation, bounds) in [
        (Mutation::CountAfterDelete, small),
        (Mutation::CountAheadWithoutVersion, small),
        (Mutation::RenewalWithoutVersion, small),
        (Mutation::FinishWithoutVersion, raced),
        (Mutation::OwnByVersionAlone, small),
        (Mutation::TakeoverByLeaseAlone, small),
        (Mutation::MarkMovesBack, small),
        (Mutation::MarksStartAnewTooEarly, small),
        (Mutation::OnlyCountedThroughStartsAgain, raced),
        (Mutation::OnlyDeletedThroughStartsAgain, raced),
        (Mutation::NoEmptyRead, raced),
        (Mutation::ReadsBesideTheClaim, fenced),
    ] {
        let property = broken(mutation, bounds);
        assert!(property.is_some(), "{mutation:?} breaks nothing");
        println!("{mutation:?} breaks: {property:?}");
    }
}
