//! Indexes with children, subjects with referrers: what holds together.

use super::*;

/// A repository, with what its indexes name, and what is used of it.
pub(super) struct Case {
    pub(super) images: Vec<Image>,
    children: Vec<(ImageDigest, Vec<ImageDigest>)>,
    used: Vec<String>,
    pub(super) rules: Rules,
}

impl Case {
    /// No image is kept for its age or its tags.
    pub(super) fn new() -> Self {
        let rules = Rules { keep_pulled_within_days: 30, ..no_rules() };
        Self { images: Vec::new(), children: Vec::new(), used: Vec::new(), rules }
    }

    pub(super) fn image(mut self, number: u8, tags: &[&str], days: f64) -> Self {
        self.images.push(image(number, tags, days));
        self
    }

    /// An index that is as old as this, and names these.
    pub(super) fn index(mut self, number: u8, tags: &[&str], days: f64, children: &[u8]) -> Self {
        self = self.unread_index(number, tags, days);
        self.children.push((digest(number), children.iter().map(|child| digest(*child)).collect()));
        self
    }

    /// An index whose manifest could not be read.
    pub(super) fn unread_index(mut self, number: u8, tags: &[&str], days: f64) -> Self {
        self.images.push(Image { manifest: ManifestKind::Index, ..image(number, tags, days) });
        self
    }

    fn about(mut self, number: u8, subject: u8, tags: &[&str], days: f64) -> Self {
        self.images.push(Image { subject: Subject::Image(digest(subject)), ..image(number, tags, days) });
        self
    }

    fn pulled(mut self, days: f64) -> Self {
        self.images.last_mut().unwrap().last_recorded_pull_time = Some(days_ago(days));
        self
    }

    pub(super) fn used(mut self, number: u8) -> Self {
        self.used.push(format!("123456789012.dkr.ecr.us-west-2.amazonaws.com/app@{}", digest(number)));
        self
    }

    fn with<T>(&self, ask: impl FnOnce(&Known<'_>) -> T) -> T {
        let mut usage = UsageSnapshot::default();
        let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
        self.used.iter().for_each(|used| usage.add(Some(used), None, &holder));
        let usage = usage.of_repository(&"123456789012".parse().unwrap(), &RepositoryName::from_ecr("app"));
        let manifests = Manifests::naming(self.children.clone());
        let (images, now) = (self.images.as_slice(), days_ago(0.0));
        ask(&Known { images, manifests: &manifests, usage: &usage, replicated: None, takes: self.rules.takes(), now })
    }

    fn decided(&self) -> Decisions {
        self.with(|known| decide(known, &self.rules.kept()))
    }

    #[track_caller]
    pub(super) fn stale(&self, expected: &[u8]) {
        let decisions = self.decided();
        let stale: Vec<u8> = (self.images.iter().zip(decisions.each()))
            .filter(|(_, decision)| matches!(decision, Decision::Delete(_)))
            .map(|(image, _)| number(image))
            .collect();
        assert_eq!(stale, expected);
        assert!(stale.is_empty() || self.needs_manifests() || self.children.is_empty(), "what goes was not read for");
    }

    fn needs_manifests(&self) -> bool {
        self.with(|known| needs_manifests(known, &self.rules.kept()))
    }

    pub(super) fn reason(&self, number: u8) -> KeepReason {
        let place = self.images.iter().position(|image| image.image_digest == digest(number)).unwrap();
        first_reason(&self.decided().each[place])
    }
}

#[test]
fn a_stale_index_goes_whole_and_a_kept_one_stays_whole() {
    let case = Case::new()
        .index(1, &["v1"], 90.0, &[11, 12, 99])
        .image(11, &[], 90.0)
        .image(12, &[], 1.0)
        .index(2, &["v2"], 10.0, &[21])
        .image(21, &[], 90.0)
        .image(3, &[], 90.0);
    let case = Case { rules: Rules { images_to_keep: 1, ..case.rules }, ..case };
    case.stale(&[1, 11, 12, 3]);
    assert_eq!(case.reason(21), KeepReason::ChildOfKept);
    assert_eq!(case.decided().each[1], Decision::Delete(StaleReason::ChildOf(std::sync::Arc::new(digest(1)))));
}

#[test]
fn a_used_child_keeps_its_index_and_its_siblings() {
    let case = Case::new().index(1, &["v1"], 90.0, &[11, 12]).image(11, &[], 90.0).image(12, &[], 90.0).used(11);
    case.stale(&[]);
    assert_eq!(case.reason(1), KeepReason::ParentOfInUse);
    assert_eq!(case.reason(11), KeepReason::InUse);
    assert_eq!(case.reason(12), KeepReason::ChildOfKept);
}

#[test]
fn a_shared_child_stays_while_any_index_that_names_it_does() {
    let case = Case::new()
        .index(1, &["v1"], 90.0, &[11, 33])
        .index(2, &["v2"], 90.0, &[22, 33])
        .image(11, &[], 90.0)
        .image(22, &[], 90.0)
        .image(33, &[], 90.0)
        .used(2);
    case.stale(&[1, 11]);
    assert_eq!(case.reason(33), KeepReason::ChildOfKept);
}

#[test]
fn protection_goes_through_nested_indexes() {
    let nested = || {
        Case::new()
            .index(1, &["v1"], 90.0, &[11, 12])
            .index(11, &[], 90.0, &[21])
            .image(12, &[], 90.0)
            .image(21, &[], 90.0)
            .about(31, 21, &[], 1.0)
    };
    nested().stale(&[1, 11, 12, 21, 31]);
    for used in [1, 11, 12, 21] {
        nested().used(used).stale(&[]);
    }
    // What is about an image is not the image: it stays itself, and holds nothing.
    nested().used(31).stale(&[1, 11, 12, 21]);
    assert_eq!(nested().used(21).reason(1), KeepReason::ParentOfInUse);
    assert_eq!(nested().used(21).reason(31), KeepReason::ReferrerOfKept);
}

#[test]
fn a_tagged_child_is_an_image_like_others_that_stays_with_its_index() {
    let case = || Case::new().index(1, &["v1"], 10.0, &[11]).image(11, &["v1-amd64"], 20.0).image(2, &["v0"], 30.0);
    case().stale(&[1, 11, 2]);
    case().used(1).stale(&[2]);
    assert_eq!(case().used(1).reason(11), KeepReason::ChildOfKept);
    // It takes a place among the newest.
    let case = Case { rules: Rules { images_to_keep: 2, ..case().rules }, ..case() };
    case.stale(&[2]);
    assert_eq!(case.reason(11), KeepReason::Newest);
    let kept = Case::new().index(1, &["v1"], 30.0, &[11]).image(11, &["v1-amd64"], 20.0);
    Case { rules: Rules { images_to_keep: 1, ..no_rules() }, ..kept }.stale(&[1]);
}

#[test]
fn what_is_not_named_beside_an_index_is_judged_for_itself() {
    let young = Rules { untagged_older_than_days: Some(15), ..no_rules() };
    let case = Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &[], 1.0).image(2, &[], 1.0).image(3, &[], 16.0);
    let case = Case { rules: young, ..case };
    case.stale(&[1, 11, 3]);
    assert_eq!(case.reason(2), KeepReason::Untagged);
}

#[test]
fn what_follows_goes_however_young_unless_it_is_held_for_its_own_sake() {
    let case = || Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &[], 1.0).about(21, 1, &[], 1.0);
    let young = Rules { untagged_older_than_days: Some(15), ..no_rules() };
    Case { rules: young, ..case() }.stale(&[1, 11, 21]);
    // Who asks to keep all that is so young means these too.
    Case { rules: Rules { keep_pushed_within_days: 2, ..no_rules() }, ..case() }.stale(&[1]);
}

#[test]
fn a_pull_of_a_child_keeps_its_index_and_so_does_one_of_the_index_itself() {
    let case = |of_index: f64, of_child: f64| {
        Case::new().index(1, &["v1"], 90.0, &[11, 12]).pulled(of_index).image(11, &[], 90.0).pulled(of_child).image(
            12,
            &[],
            90.0,
        )
    };
    for (case, kept_by_own_pulls) in [(case(40.0, 3.0), 0), (case(3.0, 3.0), 0), (case(3.0, 40.0), 1)] {
        case.stale(&[]);
        assert_eq!(case.reason(1), KeepReason::PulledRecently);
        assert_eq!(case.reason(12), KeepReason::ChildOfKept);
        assert_eq!(case.decided().indexes_kept_by_their_pulls(&case.images), kept_by_own_pulls);
    }
    case(40.0, 40.0).stale(&[1, 11, 12]);
}

#[test]
fn a_pull_of_what_may_be_an_index_counts() {
    let mut case = Case::new().index(1, &["v1"], 90.0, &[]).pulled(3.0);
    case.images[0].manifest = ManifestKind::Unknown;
    case.stale(&[]);
}

#[test]
fn an_unread_index_keeps_what_it_may_name_and_nothing_else() {
    let case = || {
        Case::new()
            .unread_index(1, &["v1"], 50.0)
            .image(2, &[], 10.0)
            .image(3, &["older"], 60.0)
            .image(4, &["as-old"], 50.0)
            .image(5, &["younger"], 40.0)
            .index(6, &["v6"], 30.0, &[7])
            .image(7, &[], 30.0)
            .about(8, 5, &[], 1.0)
            .about(9, 3, &["sig"], 1.0)
    };
    // Of the index that could be read, the child is untagged, so that the other may name it too.
    case().stale(&[5, 6]);
    for kept in [1, 2, 3, 4, 7, 8] {
        assert_eq!(case().reason(kept), KeepReason::Unreadable, "{kept}");
    }
    assert_eq!(case().reason(9), KeepReason::ReferrerOfKept);
    let mut of_unknown_age = case();
    of_unknown_age.images[0].image_pushed_at = None;
    of_unknown_age.stale(&[]);
}

#[test]
fn an_unread_nested_index_keeps_the_indexes_above_it() {
    let case = Case::new().index(1, &["v1"], 10.0, &[11]).unread_index(11, &[], 50.0).image(2, &["v2"], 10.0);
    case.stale(&[2]);
    assert_eq!(case.reason(1), KeepReason::Unreadable);
}

#[test]
fn a_kept_subject_keeps_its_referrers_and_what_these_name() {
    let fallback = &digest(1).to_string().replace(':', "-");
    let case = || {
        Case::new()
            .image(1, &["v1"], 90.0)
            .index(2, &[fallback], 10.0, &[3, 4])
            .about(3, 1, &[], 10.0)
            .image(4, &[], 10.0)
            .image(5, &["v2"], 10.0)
    };
    let one = Rules { images_to_keep: 1, untagged_older_than_days: Some(15), ..no_rules() };
    let kept = Case { rules: one.clone(), ..case() }.used(1);
    kept.stale(&[]);
    assert_eq!(kept.reason(4), KeepReason::ChildOfKept);
    // The fallback index takes no place, so v2 is the newest.
    Case { rules: one, ..case() }.stale(&[1, 2, 3, 4]);
}

#[test]
fn manifests_are_needed_only_where_something_may_go() {
    let multi = || Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &[], 1.0);
    let keeping = |rules: Rules| Case { rules, ..multi() };
    assert!(multi().needs_manifests());
    assert!(!Case::new().image(1, &["v1"], 90.0).needs_manifests(), "there is no index");
    let young = Rules { images_to_keep: 5, untagged_older_than_days: Some(15), ..no_rules() };
    assert!(!keeping(young.clone()).needs_manifests(), "everything is young");
    assert!(keeping(young.clone()).image(2, &[], 16.0).needs_manifests(), "an old untagged image may be a child");
    assert!(!keeping(young.clone()).image(2, &[], 16.0).used(2).needs_manifests(), "which is used");
    assert!(keeping(Rules { images_to_keep: 1, ..young }).image(2, &["v0"], 99.0).needs_manifests());
    let pulled = Case::new().index(1, &["v1"], 90.0, &[11]).pulled(1.0);
    assert!(!pulled.needs_manifests(), "an index that was pulled stays, whoever pulled it");
}

#[test]
fn images_that_follow_each_other_in_a_circle_stay() {
    let mut about_its_child = Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &["v0"], 90.0);
    about_its_child.images[0].subject = Subject::Image(digest(11));
    about_its_child.stale(&[]);
    let claimed = Case::new().about(1, 2, &[], 90.0).about(2, 1, &[], 90.0).about(3, 3, &[], 90.0);
    claimed.stale(&[]);
    let beside = Case::new().index(1, &[], 90.0, &[1, 2]).image(2, &[], 90.0).image(3, &["v3"], 90.0);
    beside.stale(&[3]);
}

#[test]
fn kin_tell_what_goes_before_and_what_comes_along() {
    let case = Case::new()
        .index(1, &["v1"], 90.0, &[11])
        .index(11, &[], 90.0, &[21])
        .image(21, &[], 90.0)
        .about(31, 21, &[], 90.0)
        .image(4, &["v4"], 90.0);
    let edges = |place: usize| case.decided().edges(place, &case.images);
    let digests = |numbers: &[u8]| -> Box<[ImageDigest]> { numbers.iter().map(|number| digest(*number)).collect() };
    let kin_of = |follows, children| Some(Edges { follows: digests(follows), children: digests(children) });
    assert_eq!(edges(0), kin_of(&[], &[11]));
    assert_eq!(edges(1), kin_of(&[1], &[21]));
    assert_eq!(edges(2), kin_of(&[11], &[]));
    assert_eq!(edges(3), kin_of(&[21], &[]));
    assert_eq!(edges(4), None);
}

#[test]
fn the_pull_of_a_family_is_the_newest_that_counts() {
    let case = Case::new()
        .index(1, &["v1"], 90.0, &[11, 12])
        .pulled(50.0)
        .image(11, &[], 90.0)
        .pulled(70.0)
        .image(12, &[], 90.0)
        .pulled(60.0);
    assert_eq!(case.decided().pulled_at(0, &case.images[0]), Some(days_ago(50.0)));
    let mut case = case;
    case.images[2].last_recorded_pull_time = Some(days_ago(45.0));
    assert_eq!(case.decided().pulled_at(0, &case.images[0]), Some(days_ago(45.0)));
}
