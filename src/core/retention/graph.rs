//! How the images of a repository hang together: indexes and their children, subjects and their referrers.
//!
//! Images are known here by their places in the repository's list.

use std::collections::{HashMap, HashSet};

use crate::image::{Image, ImageDigest, Subject, subject_named_by_tag};
use crate::manifest::Manifests;

/// The graph of a repository's images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Graph {
    relations: Vec<Relation>,
    /// Of each index, the images of the repository that it names.
    children: EdgesOf,
    /// Of each image that indexes name, those indexes.
    parents: EdgesOf,
    /// Of each subject, the images that are about it.
    referrers: EdgesOf,
    /// The indexes whose children are not known.
    pub(super) unread: Vec<usize>,
}

type EdgesOf = HashMap<usize, Vec<usize>>;

/// Whether an image stands for itself, or is about others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// It stands for itself.
    Image,
    /// It is about the images at these places.
    About(Vec<usize>),
    /// It has a tag of its own, and others that say it is about the images at these places.
    ImageAbout(Vec<usize>),
    /// Its manifest names a subject that this repository does not hold.
    WithoutSubject,
    /// What its tags say that it is about is not here: it is gone, or signatures live in a repository of their own.
    AboutNothingHere,
    /// Some of what it is about is not here, or it can't be told.
    AboutSomethingElsewhere,
}

/// How an image that follows another hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The other is an index that names it.
    Parent,
    /// The other is what it is about.
    Subject,
}

impl Graph {
    pub(super) fn of(images: &[Image], manifests: &Manifests) -> Self {
        let places: HashMap<ImageDigest, usize> =
            images.iter().enumerate().map(|(place, image)| (image.image_digest, place)).collect();
        let mut graph = Self::default();
        for (place, image) in images.iter().enumerate() {
            let relation = relation_of(image, &places);
            for subject in relation.subjects() {
                graph.referrers.entry(*subject).or_default().push(place);
            }
            graph.relations.push(relation);
            if !image.manifest.may_name_others() {
                continue;
            }
            let Some(children) = manifests.children_of(image.image_digest) else {
                graph.unread.push(place);
                continue;
            };
            // What an index names need not be here: it may have been pushed for some platforms alone.
            for child in children.iter().filter_map(|child| places.get(child)) {
                graph.children.entry(place).or_default().push(*child);
                graph.parents.entry(*child).or_default().push(place);
            }
        }
        graph
    }

    pub(super) fn relation(&self, place: usize) -> &Relation {
        &self.relations[place]
    }

    /// The indexes that name an image.
    pub(super) fn parents(&self, place: usize) -> &[usize] {
        self.parents.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The indexes that name any of these images, those that name such an index, and so on.
    pub(super) fn ancestors(&self, of: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut left: Vec<usize> = of.collect();
        let mut seen = HashSet::new();
        let mut reached = Vec::new();
        while let Some(place) = left.pop() {
            for parent in self.parents(place) {
                if seen.insert(*parent) {
                    reached.push(*parent);
                    left.push(*parent);
                }
            }
        }
        reached
    }

    /// The images that, over any number of steps, follow themselves or one that does: an index may be about an image
    /// that it names. Which of them is to go first can't be told.
    pub(super) fn in_circles(&self) -> impl Iterator<Item = usize> {
        let of_place = |place: usize| self.parents(place).len() + self.relations[place].subjects().len();
        let places = self
            .children
            .iter()
            .chain(&self.referrers)
            .flat_map(|(holder, followers)| followers.iter().chain([holder]));
        let mut holders_left: HashMap<usize, usize> = places.map(|place| (*place, of_place(*place))).collect();
        let mut free: Vec<usize> =
            holders_left.extract_if(|_, holders| *holders == 0).map(|(place, _)| place).collect();
        while let Some(place) = free.pop() {
            for edges in [&self.children, &self.referrers] {
                for follower in edges.get(&place).into_iter().flatten() {
                    let Some(holders) = holders_left.get_mut(follower) else { continue };
                    *holders -= 1;
                    if *holders == 0 {
                        holders_left.remove(follower);
                        free.push(*follower);
                    }
                }
            }
        }
        holders_left.into_keys()
    }

    /// The images that an index names.
    pub(super) fn children(&self, place: usize) -> &[usize] {
        self.children.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The images that are about one.
    pub(super) fn referrers(&self, place: usize) -> &[usize] {
        self.referrers.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The indexes that name something of the repository.
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        self.children.keys().copied()
    }

    /// The same, each after all that it names; without those that name themselves in a circle.
    pub(super) fn indexes_from_within(&self) -> Vec<usize> {
        let nested = |place: &usize| self.children(*place).iter().filter(|child| self.children.contains_key(child));
        let mut names_left: HashMap<usize, usize> =
            self.indexes().map(|place| (place, nested(&place).count())).collect();
        let mut done: Vec<usize> = self.indexes().filter(|place| names_left[place] == 0).collect();
        let mut next = 0;
        while let Some(place) = done.get(next).copied() {
            next += 1;
            for parent in self.parents(place) {
                if let Some(left) = names_left.get_mut(parent) {
                    *left -= 1;
                    if *left == 0 {
                        done.push(*parent);
                    }
                }
            }
        }
        done
    }

    /// Goes from these images to all that follow one of them, directly or not.
    pub(super) fn each_follower(&self, of: impl Iterator<Item = usize>, mut visit: impl FnMut(usize, Follows)) {
        let mut left: Vec<usize> = of.collect();
        let mut seen: HashSet<usize> = left.iter().copied().collect();
        while let Some(place) = left.pop() {
            for (edges, follows) in [(&self.children, Follows::Parent), (&self.referrers, Follows::Subject)] {
                for follower in edges.get(&place).into_iter().flatten() {
                    visit(*follower, follows);
                    // Each is gone on from once, so that this ends whatever a registry claims.
                    if seen.insert(*follower) {
                        left.push(*follower);
                    }
                }
            }
        }
    }
}

impl Relation {
    /// The places of the images that it is about.
    pub(super) fn subjects(&self) -> &[usize] {
        match self {
            Self::About(subjects) | Self::ImageAbout(subjects) => subjects,
            Self::Image | Self::WithoutSubject | Self::AboutNothingHere | Self::AboutSomethingElsewhere => &[],
        }
    }
}

fn relation_of(image: &Image, places: &HashMap<ImageDigest, usize>) -> Relation {
    let named: Vec<ImageDigest> = image.image_tags.iter().filter_map(|tag| subject_named_by_tag(tag)).collect();
    let by_tags = named.iter().map(|subject| places.get(subject).copied());
    match &image.subject {
        Subject::Unknown => Relation::AboutSomethingElsewhere,
        Subject::Image(subject) => {
            // A copied signature may name one image in its manifest and another in its tag: it is about both.
            let subjects: Vec<usize> = places.get(subject).copied().into_iter().chain(by_tags.flatten()).collect();
            if subjects.is_empty() { Relation::WithoutSubject } else { Relation::About(subjects) }
        }
        Subject::None if named.is_empty() => Relation::Image,
        Subject::None => match by_tags.clone().collect::<Option<Vec<usize>>>() {
            None if by_tags.flatten().next().is_none() => Relation::AboutNothingHere,
            None => Relation::AboutSomethingElsewhere,
            Some(subjects) if named.len() == image.image_tags.len() => Relation::About(subjects),
            Some(subjects) => Relation::ImageAbout(subjects),
        },
    }
}
