//! The relations of the images of a repository: indexes and their child images, subjects and their referrers.
//!
//! An image is identified by its place in the repository's list.

use std::collections::{HashMap, HashSet};

use crate::image::{Image, ImageDigest, Subject, subject_named_by_tag};
use crate::manifest::Manifests;

/// The graph of a repository's images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Graph {
    relations: Vec<Relation>,
    /// The child images, in this repository, of each index.
    children: EdgesOf,
    /// The parent indexes of each child image.
    parents: EdgesOf,
    /// The referrers of each subject.
    referrers: EdgesOf,
    /// The indexes whose child images are unknown.
    pub(super) unread: Vec<usize>,
}

type EdgesOf = HashMap<usize, Vec<usize>>;

/// Whether an image is a referrer, and of which subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is not a referrer.
    Image,
    /// It is a referrer of the images at these places.
    About(Vec<usize>),
    /// It has an ordinary tag, and other tags by which it is a referrer of the images at these places.
    ImageAbout(Vec<usize>),
    /// Its manifest has a subject that is not in this repository.
    WithoutSubject,
    /// The subjects in its tags are not in this repository: they were deleted, or signatures have a repository of their own.
    AboutNothingHere,
    /// Some of its subjects are not in this repository, or its subject is unknown.
    AboutSomethingElsewhere,
}

/// Why an image follows another: it is kept or deleted with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The other image is its parent index.
    Parent,
    /// The other image is its subject.
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
            // A child image doesn't have to exist: the index may have been pushed with only some of its platforms.
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

    /// The parent indexes of an image.
    pub(super) fn parents(&self, place: usize) -> &[usize] {
        self.parents.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The parents of these images, the parents of those, and so on.
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

    /// The images that follow themselves over any number of steps, and those that follow such an image. For example, the
    /// subject of an index can be its own child image. There is no order in which to delete them.
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

    /// The child images of an index.
    pub(super) fn children(&self, place: usize) -> &[usize] {
        self.children.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The referrers of an image.
    pub(super) fn referrers(&self, place: usize) -> &[usize] {
        self.referrers.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The indexes with child images in this repository.
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        self.children.keys().copied()
    }

    /// The same indexes, each after all its child images. Indexes that are their own child images over any number of steps
    /// are left out.
    pub(super) fn indexes_from_within(&self) -> Vec<usize> {
        let nested = |place: &usize| self.children(*place).iter().filter(|child| self.children.contains_key(child));
        let mut nested_left: HashMap<usize, usize> =
            self.indexes().map(|place| (place, nested(&place).count())).collect();
        let mut done: Vec<usize> = self.indexes().filter(|place| nested_left[place] == 0).collect();
        let mut next = 0;
        while let Some(place) = done.get(next).copied() {
            next += 1;
            for parent in self.parents(place) {
                if let Some(left) = nested_left.get_mut(parent) {
                    *left -= 1;
                    if *left == 0 {
                        done.push(*parent);
                    }
                }
            }
        }
        done
    }

    /// Visits all images that follow one of these, directly or not.
    pub(super) fn each_follower(&self, of: impl Iterator<Item = usize>, mut visit: impl FnMut(usize, Follows)) {
        let mut left: Vec<usize> = of.collect();
        let mut seen: HashSet<usize> = left.iter().copied().collect();
        while let Some(place) = left.pop() {
            for (edges, follows) in [(&self.children, Follows::Parent), (&self.referrers, Follows::Subject)] {
                for follower in edges.get(&place).into_iter().flatten() {
                    visit(*follower, follows);
                    // The followers of each image are visited once, so that this ends even with circles.
                    if seen.insert(*follower) {
                        left.push(*follower);
                    }
                }
            }
        }
    }
}

impl Relation {
    /// The places of its subjects.
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
            // A copied signature can have one subject in its manifest and another in its tag. Both count.
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
