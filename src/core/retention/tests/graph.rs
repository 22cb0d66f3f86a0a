//! Indexes with child images, and subjects with referrers.

use super::*;

/// A repository with the child images of its indexes and its usage.
pub(super) struct Case {
    pub(super) images: Vec<Image>,
    children: Vec<(ImageDigest, Vec<ImageDigest>)>,
    used: Vec<String>,
    pub(super) rules: Rules,
}

impl Case {
    /// A repository whose rules keep no image by age or tags.
    pub(super) fn new() -> Self {
        let rules = Rules { keep_pulled_within_days: 30, ..no_rules() };
        Self { images: Vec::new(), children: Vec::new(), used: Vec::new(), rules }
    }

    pub(super) fn image(mut self, number: u8, tags: &[&str], days: f64) -> Self {
        self.images.push(image(number, tags, days));
        self
    }

    /// An index of this age with these child images.
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

    fn with<T>(&self, compute: impl FnOnce(&Known<'_>) -> T) -> T {
        let mut usage = UsageSnapshot::default();
        let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
        self.used.iter().for_each(|used| usage.add(Some(used), None, &holder));
        let usage = usage.of_repository(&"123456789012".parse().unwrap(), &RepositoryName::from_ecr("app"));
        let manifests = Manifests::naming(self.children.clone());
        let (images, now) = (self.images.as_slice(), days_ago(0.0));
        compute(&Known {
            images,
            manifests: &manifests,
            usage: &usage,
            seen: None,
            replicated: None,
            takes: self.rules.takes(),
            now,
        })
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
        assert!(
            stale.is_empty() || self.needs_manifests() || self.children.is_empty(),
            "images are stale although no manifest was needed"
        );
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
fn child_images_are_stale_or_kept_together_with_their_index() {
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
fn a_shared_child_is_kept_while_any_of_its_parents_is() {
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
    // The use of a referrer keeps only the referrer, not its subject.
    nested().used(31).stale(&[1, 11, 12, 21]);
    assert_eq!(nested().used(21).reason(1), KeepReason::ParentOfInUse);
    assert_eq!(nested().used(21).reason(31), KeepReason::ReferrerOfKept);
}

#[test]
fn a_tagged_child_is_an_ordinary_image_that_is_kept_with_its_index() {
    let case = || Case::new().index(1, &["v1"], 10.0, &[11]).image(11, &["v1-amd64"], 20.0).image(2, &["v0"], 30.0);
    case().stale(&[1, 11, 2]);
    case().used(1).stale(&[2]);
    assert_eq!(case().used(1).reason(11), KeepReason::ChildOfKept);
    // It counts toward the newest.
    let case = Case { rules: Rules { images_to_keep: 2, ..case().rules }, ..case() };
    case.stale(&[2]);
    assert_eq!(case.reason(11), KeepReason::Newest);
    let kept = Case::new().index(1, &["v1"], 30.0, &[11]).image(11, &["v1-amd64"], 20.0);
    Case { rules: Rules { images_to_keep: 1, ..no_rules() }, ..kept }.stale(&[1]);
}

#[test]
fn an_image_without_a_parent_is_evaluated_by_itself() {
    let young = Rules { untagged_older_than_days: Some(15), ..no_rules() };
    let case = Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &[], 1.0).image(2, &[], 1.0).image(3, &[], 16.0);
    let case = Case { rules: young, ..case };
    case.stale(&[1, 11, 3]);
    assert_eq!(case.reason(2), KeepReason::Untagged);
}

#[test]
fn followers_are_stale_at_any_age_unless_they_have_a_reason_of_their_own() {
    let case = || Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &[], 1.0).about(21, 1, &[], 1.0);
    let young = Rules { untagged_older_than_days: Some(15), ..no_rules() };
    Case { rules: young, ..case() }.stale(&[1, 11, 21]);
    // keepPushedWithinDays applies to them too.
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
fn a_pull_of_an_image_that_may_be_an_index_counts() {
    let mut case = Case::new().index(1, &["v1"], 90.0, &[]).pulled(3.0);
    case.images[0].manifest = ManifestKind::Unknown;
    case.stale(&[]);
}

#[test]
fn an_unread_index_keeps_its_possible_child_images_and_no_others() {
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
    // The child image of the index that could be read is untagged, so it can be a child image of the other one too.
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
fn a_kept_subject_keeps_its_referrers_and_their_child_images() {
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
    // The fallback index doesn't count, so v2 is the newest.
    Case { rules: one, ..case() }.stale(&[1, 2, 3, 4]);
}

#[test]
fn manifests_are_needed_only_if_an_image_may_be_stale() {
    let multi = || Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &[], 1.0);
    let keeping = |rules: Rules| Case { rules, ..multi() };
    assert!(multi().needs_manifests());
    assert!(!Case::new().image(1, &["v1"], 90.0).needs_manifests(), "there is no index");
    let young = Rules { images_to_keep: 5, untagged_older_than_days: Some(15), ..no_rules() };
    assert!(!keeping(young.clone()).needs_manifests(), "everything is young");
    assert!(keeping(young.clone()).image(2, &[], 16.0).needs_manifests(), "an old untagged image may be a child image");
    assert!(!keeping(young.clone()).image(2, &[], 16.0).used(2).needs_manifests(), "the untagged image is used");
    assert!(keeping(Rules { images_to_keep: 1, ..young }).image(2, &["v0"], 99.0).needs_manifests());
    let pulled = Case::new().index(1, &["v1"], 90.0, &[11]).pulled(1.0);
    assert!(!pulled.needs_manifests(), "any pull keeps an index");
}

#[test]
fn images_that_follow_each_other_in_a_circle_are_kept() {
    let mut about_its_child = Case::new().index(1, &["v1"], 90.0, &[11]).image(11, &["v0"], 90.0);
    about_its_child.images[0].subject = Subject::Image(digest(11));
    about_its_child.stale(&[]);
    let claimed = Case::new().about(1, 2, &[], 90.0).about(2, 1, &[], 90.0).about(3, 3, &[], 90.0);
    claimed.stale(&[]);
    let beside = Case::new().index(1, &[], 90.0, &[1, 2]).image(2, &[], 90.0).image(3, &["v3"], 90.0);
    beside.stale(&[3]);
}

#[test]
fn edges_have_the_parents_and_the_child_images() {
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
fn the_last_pull_of_an_index_is_that_of_the_index_or_a_child_image() {
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
