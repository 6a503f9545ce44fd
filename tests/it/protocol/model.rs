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
/// The most ranges of any bounds.
const MOST_RANGES: usize = 3;

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
    /// Times that a range is split.
    splits: usize,
    writer: Writer,
    /// Where the writer's key sorts.
    writer_key: usize,
    /// Whether the deletion archives.
    archive: bool,
    /// Whether the deletion is announced.
    events: bool,
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
    SplitBeforeWhatIsCounted,
    SplitBeforeWhatIsRead,
    RangesOverlap,
    ContinuesAtMarksOfAnotherRange,
    CountsByMarksOfAnotherRange,
    EndsWithARangeUnfinished,
    JoinsBeforeAllIsDeleted,
    DeletedThroughSkipsWhatIsOpen,
    DeletesBeforeTheUpload,
    FinishesWithoutTheManifest,
    EventAfterTheFinish,
    EventBeforeTheFinish,
    SendsWithoutAnAnswerToTheFinish,
    RemovesBeforeItSends,
    RemovesWhatMayNotBeSent,
}

/// `record::Range`: the keys from one number to below another, and its marks, which
/// are numbers of keys.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    from: usize,
    to: usize,
    counted_through: usize,
    deleted_through: usize,
}

/// `record::Record`: what matters of it. Version 0 is no record.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    done: bool,
    version: u8,
    owner: u8,
    counted: [u8; MOST_KEYS],
    /// Those beyond the last one are empty.
    ranges: [Range; MOST_RANGES],
}

/// Which write of the record.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `Table::claim` of version 0, else `Lease::take_over`.
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
    /// The event, on its way to the bus.
    Event,
    /// The removal of the event from the table.
    Removal,
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
    /// It has the event to send: it has finished, or is a clean-up that has read it.
    Announces,
    /// The bus has acknowledged the event.
    Announced,
}

/// `drain::Lane`: a range in the hands of a worker.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Lane {
    range: Range,
    /// `ReadAhead`: where the next page starts.
    read_to: usize,
    /// A page that was read ahead.
    ahead: BTreeSet<usize>,
    /// Whether that page's object is not acknowledged yet.
    uploading: bool,
    /// Whether the write that is on its way counts that page.
    counting: bool,
    /// Where the last page ends that is counted and may be deleted.
    open_to: usize,
    /// Keys that may be deleted, of which no delete is acknowledged.
    open: BTreeSet<usize>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Worker {
    step: Step,
    /// `Lease::owner`.
    owner: u8,
    /// `Lease::record`.
    seen: Record,
    /// In order, without a gap.
    lanes: Vec<Lane>,
    /// `Drain::finished`: the marks of the pass before, until this one has counted.
    finished: Option<Range>,
    from_the_start: bool,
    found: bool,
    /// Its manifest is acknowledged.
    manifest: bool,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct World {
    present: [bool; MOST_KEYS],
    /// Keys in an acknowledged object. (An upload that arrives late only adds to them.)
    archived: [bool; MOST_KEYS],
    /// There is a manifest.
    manifest: bool,
    campaign: bool,
    /// The event is in the table.
    unsent: bool,
    /// The bus has taken the event, once or more.
    announced: bool,
    record: Record,
    /// The record when it was done first.
    closed: Option<Record>,
    workers: [Worker; 2],
    next_owner: u8,
    late: BTreeSet<Message>,
    late_left: usize,
    renewals_left: usize,
    splits_left: usize,
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
    /// `Table::claim`, `Lease::take_over`.
    Take(usize),
    /// The first page, while the claim is on its way: only a mutation does that.
    ReadAhead(usize),
    /// `ReadAhead::next`, of a lane.
    ReadPage(usize, usize),
    /// `Archiver::put`: the object of a lane's page is acknowledged.
    Uploaded(usize, usize),
    /// `Archiver::finish`: the manifest is acknowledged.
    Manifest(usize),
    /// `Lane::split_off`: a lane, and where the new one begins.
    Split(usize, usize, usize),
    /// `Drain::count_ahead`: what every lane has read ahead, in one write.
    CountAhead(usize),
    /// `Deleter`: a delete is applied and acknowledged.
    Delete(usize, usize),
    /// A delete is applied, and its answer is lost: it will be repeated.
    DeleteUnanswered(usize, usize),
    /// A delete is repeated while the first one is still on the way.
    DeleteRepeated(usize, usize),
    /// `Lease::renew_while`.
    Renew(usize),
    /// `Drain::run`: another pass.
    NextPass(usize),
    /// `Lease::finish`.
    Finish(usize),
    /// `Lease::release`.
    Release(usize),
    /// `Table::write_record`, `Table::finish`: applied or refused, and answered.
    Answered(usize),
    /// Applied, and the answer is lost: it will be repeated.
    AnswerLost(usize),
    /// `Table::unsent_event`: a clean-up reads the event.
    FindEvent(usize),
    /// `EventBus::put`: the bus takes the event and acknowledges it.
    Send(usize),
    /// The bus takes it, and the answer is lost: it will be repeated.
    SendUnanswered(usize),
    /// It never arrives, or its sender dies while it is on the way.
    SendLost(usize),
    /// `Table::remove_event`.
    Remove(usize),
    /// It is on the way when its sender dies.
    RemoveLate(usize),
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

impl Range {
    fn whole(keys: usize) -> Self {
        Self {
            to: keys,
            ..Self::default()
        }
    }
}

impl Record {
    const NONE: Self = Self {
        done: false,
        version: 0,
        owner: 0,
        counted: [0; MOST_KEYS],
        ranges: [Range {
            from: 0,
            to: 0,
            counted_through: 0,
            deleted_through: 0,
        }; MOST_RANGES],
    };

    /// The record after a write that changes nothing else.
    fn next(self, owner: u8) -> Self {
        Self {
            version: self.version + 1,
            owner,
            ..self
        }
    }

    fn set_ranges(&mut self, ranges: impl Iterator<Item = Range>) {
        self.ranges = Self::NONE.ranges;
        for (of, range) in self.ranges.iter_mut().zip(ranges) {
            *of = range;
        }
    }
}

impl Lane {
    /// Continues where the range's marks say.
    fn of(range: Range) -> Self {
        Self {
            range,
            read_to: range.deleted_through,
            ahead: BTreeSet::new(),
            uploading: false,
            counting: false,
            open_to: range.deleted_through,
            open: BTreeSet::new(),
        }
    }

    fn at_the_end(&self) -> bool {
        self.read_to >= self.range.to
    }

    fn is_read(&self) -> bool {
        self.at_the_end() && self.ahead.is_empty()
    }

    fn is_done(&self) -> bool {
        self.is_read() && self.open.is_empty()
    }

    /// Moves the mark up to what is not acknowledged.
    fn advance(&mut self) {
        let to = self.open.first().copied().unwrap_or(self.open_to);
        self.range.deleted_through = to.max(self.range.deleted_through);
    }
}

impl Worker {
    fn idle() -> Self {
        Self {
            step: Step::Idle,
            owner: 0,
            seen: Record::NONE,
            lanes: Vec::new(),
            finished: None,
            from_the_start: false,
            found: false,
            manifest: false,
        }
    }

    /// `Drain::new`: continues where the record says.
    fn holding(owner: u8, record: Record) -> Self {
        let ranges = record.ranges.into_iter().filter(|range| range.to > 0);
        let lanes: Vec<Lane> = ranges.map(Lane::of).collect();
        Self {
            step: Step::Drains,
            owner,
            seen: record,
            from_the_start: matches!(&lanes[..], [lane] if lane.read_to == 0),
            lanes,
            ..Self::idle()
        }
    }

    fn holds(&self) -> bool {
        matches!(self.step, Step::Drains | Step::Waits(..)) && self.seen.version > 0
    }

    /// The ranges that a write of the record stores.
    fn ranges(&self) -> impl Iterator<Item = Range> {
        let finished = self.finished.into_iter();
        let lanes = self.lanes.iter().map(|lane| lane.range);
        finished.chain(lanes.filter(|_| self.finished.is_none()))
    }

    fn lane_of(&mut self, key: usize) -> &mut Lane {
        let lane = |lane: &&mut Lane| lane.open.contains(&key);
        self.lanes.iter_mut().find(lane).expect("it is open")
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
            Message::Event => {
                world.announced = true;
                return true;
            }
            Message::Removal => {
                world.unsent = false;
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
            Kind::Take if record.version == 1 => record.ranges = next.ranges,
            Kind::Take | Kind::Renewal => {}
            Kind::CountAhead | Kind::Release => {
                record.counted = next.counted;
                record.ranges = next.ranges;
            }
            Kind::Finish => {
                record.done = true;
                world.campaign = false;
                world.closed = Some(*record);
                world.unsent |= self.bounds.events && !self.is(Mutation::EventAfterTheFinish);
            }
        }
        true
    }

    /// `ReadAhead::next`.
    fn read_page(&self, world: &mut World, of: usize, lane: usize) {
        let worker = &mut world.workers[of];
        let lane = &mut worker.lanes[lane];
        let keys = (lane.read_to..lane.range.to).filter(|key| world.present[*key]);
        let page: BTreeSet<usize> = keys.take(self.bounds.page).collect();
        lane.read_to = match page.last() {
            Some(last) if page.len() == self.bounds.page => last + 1,
            _ => lane.range.to,
        };
        worker.found |= !page.is_empty();
        lane.uploading = self.bounds.archive && !page.is_empty();
        if self.is(Mutation::CountAfterDelete) {
            lane.open.extend(&page);
            lane.open_to = page.last().map_or(lane.open_to, |last| last + 1);
        }
        lane.ahead = page;
        lane.advance();
    }

    /// `Lane::split_off`: the first part keeps the marks and what was read.
    fn split(&self, world: &mut World, of: usize, lane: usize, at: usize) {
        let lanes = &mut world.workers[of].lanes;
        let first = &mut lanes[lane];
        let second = Lane::of(Range {
            from: at,
            to: first.range.to,
            counted_through: at,
            deleted_through: at,
        });
        if !self.is(Mutation::RangesOverlap) {
            first.range.to = at;
        }
        first.advance();
        lanes.insert(lane + 1, second);
        world.workers[of].from_the_start = false;
        world.splits_left -= 1;
    }

    /// `Drain::join`: a range that is done becomes part of the one behind it, whose
    /// marks hold for both.
    fn join(&self, worker: &mut Worker) {
        let is_done = |lane: &Lane| {
            lane.is_done() || lane.is_read() && self.is(Mutation::JoinsBeforeAllIsDeleted)
        };
        if self.is(Mutation::EndsWithARangeUnfinished) {
            return;
        }
        let mut at = 0;
        while at + 1 < worker.lanes.len() {
            if is_done(&worker.lanes[at]) {
                let done = worker.lanes.remove(at);
                worker.lanes[at].range.from = done.range.from;
                worker.lanes[at].open.extend(done.open);
            } else {
                at += 1;
            }
        }
    }

    /// Whether a lane's page may be counted: there is at most one more to delete.
    fn is_ready(&self, lane: &Lane) -> bool {
        let most = if self.is(Mutation::CountAfterDelete) {
            0
        } else {
            self.bounds.page
        };
        let is_archived = !lane.uploading || self.is(Mutation::DeletesBeforeTheUpload);
        !lane.ahead.is_empty() && lane.open.len() <= most && is_archived
    }

    /// `Drain::count_ahead`: the record that counts what the lanes have read ahead, or none if
    /// it is counted already.
    fn count(&self, worker: &mut Worker) -> Option<Record> {
        let mut next = worker.seen.next(worker.owner);
        let mut changes = worker.finished.is_some() || self.is(Mutation::MarkMovesBack);
        let furthest = worker.seen.ranges.iter().map(|range| range.counted_through);
        let furthest = furthest.max().unwrap_or(0);
        let mut ranges = Vec::new();
        for lane in &mut worker.lanes {
            let mut range = lane.range;
            lane.counting = self.is_ready(lane);
            if lane.counting {
                if self.is(Mutation::OnlyDeletedThroughStartsAgain)
                    && let Some(finished) = worker.finished
                {
                    range.counted_through = finished.counted_through;
                }
                let mark = if self.is(Mutation::CountsByMarksOfAnotherRange) {
                    furthest
                } else {
                    range.counted_through
                };
                for key in lane.ahead.iter().filter(|key| **key >= mark) {
                    next.counted[*key] += 1;
                }
                let last = lane.ahead.last().map_or(0, |last| last + 1);
                range.counted_through = if self.is(Mutation::MarkMovesBack) {
                    last
                } else {
                    range.counted_through.max(last)
                };
                changes |= range.counted_through != lane.range.counted_through;
            }
            if self.is(Mutation::OnlyCountedThroughStartsAgain)
                && let Some(finished) = worker.finished
            {
                range.deleted_through = finished.deleted_through;
            }
            ranges.push(range);
        }
        next.set_ranges(ranges.into_iter());
        changes.then_some(next)
    }

    /// The pages that were counted may be deleted.
    fn counted(&self, worker: &mut Worker) {
        worker.finished = None;
        for lane in &mut worker.lanes {
            if !std::mem::take(&mut lane.counting) {
                continue;
            }
            let page = std::mem::take(&mut lane.ahead);
            let last = page.last().map_or(0, |last| last + 1);
            lane.range.counted_through = if self.is(Mutation::MarkMovesBack) {
                last
            } else {
                lane.range.counted_through.max(last)
            };
            lane.open_to = lane.open_to.max(last);
            if !self.is(Mutation::CountAfterDelete) {
                lane.open.extend(page);
            }
            if self.is(Mutation::DeletedThroughSkipsWhatIsOpen) {
                lane.range.deleted_through = lane.open_to;
            }
            lane.advance();
        }
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
                if self.is(Mutation::ContinuesAtMarksOfAnotherRange) {
                    let furthest = record.ranges.iter().map(|range| range.deleted_through);
                    let furthest = furthest.max().unwrap_or(0);
                    for lane in &mut worker.lanes {
                        lane.read_to = furthest.max(lane.read_to);
                    }
                }
                // Only the mutation has read anything. Not even that it takes the
                // reading for one that shows emptiness.
                if !read.lanes.is_empty() {
                    worker.lanes = read.lanes;
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
            Kind::Release => *worker = Worker::idle(),
            Kind::Finish => {
                *worker = Worker::idle();
                if self.bounds.events {
                    worker.step = Step::Announces;
                    world.unsent |= self.is(Mutation::EventAfterTheFinish);
                }
            }
        }
    }

    fn may_count(&self, worker: &Worker) -> bool {
        worker.step == Step::Drains && worker.lanes.iter().any(|lane| self.is_ready(lane))
    }

    fn may_end_the_pass(&self, worker: &Worker) -> bool {
        let mut lanes = worker.lanes.iter();
        worker.step == Step::Drains
            && match self.mutation {
                Mutation::MarksStartAnewTooEarly => lanes.all(Lane::is_read),
                Mutation::EndsWithARangeUnfinished => lanes.any(Lane::is_done),
                _ => lanes.all(Lane::is_done),
            }
    }

    /// Where each lane of a worker may be split.
    fn splits_of(&self, world: &World, of: usize, actions: &mut Vec<Action>) {
        let worker = &world.workers[of];
        if !worker.holds() || world.splits_left == 0 || worker.lanes.len() == MOST_RANGES {
            return;
        }
        for (number, lane) in worker.lanes.iter().enumerate() {
            // After a takeover, more is counted than was read.
            let from = match self.mutation {
                Mutation::SplitBeforeWhatIsCounted => lane.read_to,
                Mutation::SplitBeforeWhatIsRead => lane.range.counted_through,
                _ => lane.read_to.max(lane.range.counted_through),
            };
            let from = from.max(lane.range.from + 1);
            actions.extend((from..lane.range.to).map(|at| Action::Split(of, number, at)));
        }
    }

    fn actions_of(&self, world: &World, of: usize, actions: &mut Vec<Action>) {
        let worker = &world.workers[of];
        match worker.step {
            Step::Idle => {
                if !world.record.done {
                    actions.push(Action::Look(of));
                }
                if world.unsent {
                    actions.push(Action::FindEvent(of));
                }
            }
            Step::Announces => {
                actions.extend([Action::Send(of), Action::SendUnanswered(of)]);
                if world.late_left > 0 || self.is(Mutation::RemovesWhatMayNotBeSent) {
                    actions.push(Action::SendLost(of));
                }
                if self.is(Mutation::RemovesBeforeItSends) {
                    actions.push(Action::Remove(of));
                }
            }
            Step::Announced => {
                actions.push(Action::Remove(of));
                if world.late_left > 0 {
                    actions.push(Action::RemoveLate(of));
                }
            }
            Step::Looked => actions.push(Action::Take(of)),
            Step::Waits(kind, next) => {
                let is_claim = kind == Kind::Take && next.version == 1;
                if self.is(Mutation::ReadsBesideTheClaim) && is_claim && worker.lanes.is_empty() {
                    actions.push(Action::ReadAhead(of));
                }
                actions.extend([Action::Answered(of), Action::AnswerLost(of)]);
                if world.late_left > 0 {
                    actions.extend([Action::Repeated(of), Action::DiesSending(of)]);
                }
                if kind == Kind::Finish && self.is(Mutation::SendsWithoutAnAnswerToTheFinish) {
                    actions.push(Action::Send(of));
                }
            }
            Step::Drains => {
                if worker.lanes.iter().any(|lane| !lane.open.is_empty()) && world.renewals_left > 0
                {
                    actions.push(Action::Renew(of));
                }
                actions.push(Action::Release(of));
            }
        }
        if worker.step != Step::Idle {
            actions.push(Action::Dies(of));
        }
        if worker.holds() {
            for (number, lane) in worker.lanes.iter().enumerate() {
                if !lane.at_the_end() && lane.ahead.is_empty() {
                    actions.push(Action::ReadPage(of, number));
                }
                if lane.uploading {
                    actions.push(Action::Uploaded(of, number));
                }
            }
        }
        self.splits_of(world, of, actions);
        if self.may_count(worker) {
            actions.push(Action::CountAhead(of));
        }
        if worker.holds() {
            for key in worker.lanes.iter().flat_map(|lane| &lane.open) {
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
            let has_manifest = !self.bounds.archive
                || worker.manifest
                || self.is(Mutation::FinishesWithoutTheManifest);
            if (empty || self.is(Mutation::NoEmptyRead)) && !has_manifest {
                actions.push(Action::Manifest(of));
            } else if empty || self.is(Mutation::NoEmptyRead) {
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
                let mut next = worker.seen.next(worker.owner);
                if next.version == 1 {
                    next.set_ranges([Range::whole(self.keys())].into_iter());
                }
                // Until it is answered, nothing is held.
                worker.seen = Record::NONE;
                wait(worker, Kind::Take, next);
                world.next_owner += 1;
            }
            Action::ReadAhead(of) => {
                world.workers[of].lanes = vec![Lane::of(Range::whole(self.keys()))];
                self.read_page(&mut world, of, 0);
            }
            Action::ReadPage(of, lane) => self.read_page(&mut world, of, lane),
            Action::Uploaded(of, lane) => {
                let lane = &mut world.workers[of].lanes[lane];
                lane.uploading = false;
                for key in &lane.ahead {
                    world.archived[*key] = true;
                }
            }
            Action::Manifest(of) => {
                world.workers[of].manifest = true;
                world.manifest = true;
            }
            Action::Split(of, lane, at) => self.split(&mut world, of, lane, at),
            Action::CountAhead(of) => {
                let worker = &mut world.workers[of];
                match self.count(worker) {
                    Some(next) => wait(worker, Kind::CountAhead, next),
                    None => self.counted(worker),
                }
            }
            Action::Delete(of, key) => {
                self.apply(&mut world, Message::Delete(key));
                let lane = world.workers[of].lane_of(key);
                lane.open.remove(&key);
                lane.advance();
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
                let whole = Range::whole(self.keys());
                let mut marks = worker.lanes.iter().map(|lane| lane.range);
                worker.finished = worker.finished.or(marks.next_back()).map(|last| Range {
                    counted_through: last.counted_through,
                    deleted_through: last.deleted_through,
                    ..whole
                });
                worker.lanes = vec![Lane::of(whole)];
                worker.from_the_start = true;
                worker.found = false;
            }
            Action::Finish(of) => {
                let worker = &mut world.workers[of];
                let next = worker.seen.next(worker.owner);
                wait(worker, Kind::Finish, Record { done: true, ..next });
                world.unsent |= self.is(Mutation::EventBeforeTheFinish);
            }
            Action::FindEvent(of) => world.workers[of].step = Step::Announces,
            Action::Send(of) => {
                self.apply(&mut world, Message::Event);
                world.workers[of] = Worker::idle();
                world.workers[of].step = Step::Announced;
            }
            Action::SendUnanswered(_) => {
                self.apply(&mut world, Message::Event);
            }
            Action::SendLost(of) => {
                world.workers[of] = Worker::idle();
                if self.is(Mutation::RemovesWhatMayNotBeSent) {
                    world.workers[of].step = Step::Announced;
                } else {
                    world.late.insert(Message::Event);
                    world.late_left -= 1;
                }
            }
            Action::Remove(of) => {
                self.apply(&mut world, Message::Removal);
                world.workers[of] = Worker::idle();
            }
            Action::RemoveLate(of) => {
                world.workers[of] = Worker::idle();
                world.late.insert(Message::Removal);
                world.late_left -= 1;
            }
            Action::Release(of) => {
                let worker = &mut world.workers[of];
                let mut next = worker.seen.next(worker.owner);
                next.set_ranges(worker.ranges());
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
                        && worker.lanes[0].read_to > self.bounds.writer_key
                };
                let closes = |message: &Message| matches!(message, Message::Write(Kind::Finish, _));
                world.behind_an_empty_reading = last.record.done
                    || last.workers.iter().any(past)
                    || last.late.iter().any(closes);
            }
        }
        for worker in &mut world.workers {
            self.join(worker);
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
            if world.record.done && !world.unsent {
                let is_announced = world.announced || !self.bounds.events;
                return is_announced && self.every_original_is_counted_and_gone(&world);
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
                        | Action::SendUnanswered(_)
                        | Action::Split(..)
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
            archived: [false; MOST_KEYS],
            manifest: false,
            campaign: true,
            unsent: false,
            announced: false,
            record: Record::NONE,
            closed: None,
            workers: [Worker::idle(), Worker::idle()],
            next_owner: 1,
            late: BTreeSet::new(),
            late_left: self.bounds.late,
            renewals_left: self.bounds.renewals,
            splits_left: self.bounds.splits,
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
                "whatever is deleted is archived",
                |this: &Self, world: &World| {
                    let was_there = |key: usize| this.is_original(key) || world.written;
                    let is_deleted = |key: usize| was_there(key) && !world.present[key];
                    let mut keys = 0..this.keys();
                    !this.bounds.archive || keys.all(|key| world.archived[key] || !is_deleted(key))
                },
            ),
            Property::always(
                "done is an archive with its manifest",
                |this: &Self, world: &World| {
                    !this.bounds.archive || !world.record.done || world.manifest
                },
            ),
            Property::always(
                "the campaign goes last, with the record",
                |_: &Self, world: &World| world.campaign != world.record.done,
            ),
            Property::always(
                "only a finished deletion has an event",
                |_: &Self, world: &World| world.record.done || !(world.unsent || world.announced),
            ),
            Property::always(
                "a finished deletion is announced, or its event is there",
                |this: &Self, world: &World| {
                    let is_kept = world.unsent || world.announced;
                    !this.bounds.events || !world.record.done || is_kept
                },
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
    splits: 0,
    writer: Writer::None,
    writer_key: 0,
    archive: false,
    events: false,
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
/// keys, page, holds, late requests, renewals, splits and the writer.
const EACH_TIME: [(usize, usize, u8, usize, usize, usize, Writer); 7] = [
    (2, 1, 2, 1, 0, 0, Writer::None),
    (3, 2, 2, 0, 1, 0, Writer::None),
    (1, 1, 3, 1, 0, 0, Writer::None),
    (1, 1, 2, 1, 0, 0, Writer::Fenced),
    (1, 1, 2, 1, 0, 0, Writer::Unfenced),
    (2, 1, 2, 0, 0, 1, Writer::None),
    (1, 1, 2, 0, 0, 1, Writer::Unfenced),
];
const FULL: [(usize, usize, u8, usize, usize, usize, Writer); 10] = [
    (3, 1, 2, 0, 0, 1, Writer::None),
    (2, 1, 2, 1, 1, 0, Writer::None),
    (3, 1, 2, 1, 0, 0, Writer::None),
    (2, 1, 3, 1, 0, 0, Writer::None),
    (2, 1, 2, 1, 0, 0, Writer::Fenced),
    (2, 1, 2, 1, 0, 0, Writer::Unfenced),
    (3, 1, 2, 0, 0, 2, Writer::None),
    (2, 1, 3, 0, 0, 1, Writer::None),
    (2, 1, 2, 1, 0, 1, Writer::None),
    (2, 1, 2, 0, 0, 2, Writer::Unfenced),
];

#[test]
fn the_protocol_holds_in_every_state_within_the_bounds() {
    let mut all = EACH_TIME.to_vec();
    if std::env::var("MODEL").is_ok_and(|model| model == "full") {
        all.extend(FULL);
    }
    for (keys, page, holds, late, renewals, splits, writer) in all {
        let bounds = Bounds {
            keys,
            page,
            holds,
            late,
            renewals,
            splits,
            writer,
            writer_key: 0,
            archive: false,
            events: false,
        };
        assert!(states(bounds) > 1_000);
    }
}

#[test]
fn an_archive_holds_in_every_state_within_the_bounds() {
    for (keys, page, holds, late, splits, writer) in [
        (2, 1, 2, 0, 0, Writer::None),
        (2, 2, 2, 1, 0, Writer::None),
        (2, 1, 2, 0, 1, Writer::None),
        (1, 1, 2, 0, 0, Writer::Unfenced),
    ] {
        let bounds = Bounds {
            keys,
            page,
            holds,
            late,
            renewals: 0,
            splits,
            writer,
            archive: true,
            ..SMALL
        };
        assert!(states(bounds) > 1_000);
    }
}

#[test]
fn an_event_is_sent_in_every_state_within_the_bounds() {
    for (keys, page, holds, late, renewals, writer) in [
        (1, 1, 2, 0, 1, Writer::None),
        (2, 2, 2, 1, 0, Writer::None),
        (1, 1, 3, 2, 0, Writer::None),
        (1, 1, 2, 1, 0, Writer::Unfenced),
    ] {
        let bounds = Bounds {
            keys,
            page,
            holds,
            late,
            renewals,
            writer,
            events: true,
            ..SMALL
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
    let split = Bounds {
        renewals: 0,
        splits: 1,
        ..small
    };
    let archive = Bounds {
        archive: true,
        ..small
    };
    let events = Bounds {
        keys: 1,
        events: true,
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
        (Mutation::DeletedThroughSkipsWhatIsOpen, small),
        (Mutation::SplitBeforeWhatIsCounted, split),
        (Mutation::SplitBeforeWhatIsRead, split),
        (Mutation::RangesOverlap, split),
        (Mutation::ContinuesAtMarksOfAnotherRange, split),
        (Mutation::CountsByMarksOfAnotherRange, split),
        (Mutation::EndsWithARangeUnfinished, split),
        (Mutation::JoinsBeforeAllIsDeleted, split),
        (Mutation::DeletesBeforeTheUpload, archive),
        (Mutation::FinishesWithoutTheManifest, archive),
        (Mutation::EventAfterTheFinish, events),
        (Mutation::EventBeforeTheFinish, events),
        (Mutation::SendsWithoutAnAnswerToTheFinish, events),
        (Mutation::RemovesBeforeItSends, events),
        (Mutation::RemovesWhatMayNotBeSent, events),
    ] {
        let property = broken(mutation, bounds);
        assert!(property.is_some(), "{mutation:?} breaks nothing");
        println!("{mutation:?} breaks: {property:?}");
    }
}
