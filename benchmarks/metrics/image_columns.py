"""The metrics of generated images."""

from benchmarks.metrics.metric import Metric

LEAST_COVERAGE = 0.9
"""A client whose generator covers less of the client's own classes is called collapsed."""

IMAGE_METRICS = (
    Metric(
        "fid_domain",
        "",
        "lower",
        "FID of generated images over the features of a classifier trained on the data set",
        heading="FID domain",
        tunable=True,
    ),
    Metric(
        "fid_domain_floor", "", "", "the same of real images against real ones", heading="(floor)"
    ),
    Metric(
        "is_domain",
        "",
        "higher",
        "Inception Score by the same classifier",
        heading="IS domain",
        tunable=True,
    ),
    Metric("is_domain_real", "", "", "the same of real images", heading="(real)"),
    Metric(
        "kid_domain",
        "",
        "lower",
        "KID over the same features; may be slightly negative",
        tunable=True,
    ),
    Metric("kid_domain_floor", "", "", "the same of real images against real ones"),
    Metric(
        "fid_inception",
        "",
        "lower",
        "FID over Inception's features; not comparable with fid_domain",
        heading="FID Inception",
    ),
    Metric(
        "fid_inception_floor",
        "",
        "",
        "the same of real images against real ones",
        heading="[floor]",
    ),
    Metric("is_inception", "", "higher", "Inception Score over Inception", heading="IS Inception"),
    Metric("is_inception_real", "", "", "the same of real images", heading="[real]"),
    Metric("kid_inception", "", "lower", "KID over Inception's features"),
    Metric("kid_inception_floor", "", "", "the same of real images against real ones"),
    Metric("fidelity_n", "images", "", "images on each side of FID, IS and KID"),
    Metric(
        "fidelity_n_asked",
        "images",
        "",
        "the same as the scale wants it; a test set, or a method's set of images, may have fewer",
        averaged=False,
        first=False,
    ),
    Metric(
        "fid_domain_balanced",
        "",
        "lower",
        "fid_domain of images that are chosen to have the class shares of the real ones",
        heading="FID balanced",
        first=False,
    ),
    Metric(
        "is_domain_balanced",
        "",
        "higher",
        "is_domain of the same images",
        first=False,
    ),
    Metric(
        "kid_domain_balanced",
        "",
        "lower",
        "kid_domain of the same images",
        first=False,
    ),
    Metric(
        "balanced_classes",
        "",
        "higher",
        "share of the real images' classes that these images have; the others were never drawn",
        first=False,
    ),
    Metric(
        "balanced_repeats",
        "",
        "lower",
        "share of these images that repeat another one, as their class was drawn too rarely",
        first=False,
    ),
    Metric(
        "duplicate_ratio",
        "",
        "lower",
        "share of generated images with a near-duplicate; about 0.01 for real ones",
        averaged=False,
        first=False,
    ),
    Metric(
        "classes_covered",
        "",
        "higher",
        "share of the classes that the generated images cover",
        averaged=False,
        first=False,
    ),
    Metric(
        "class_entropy",
        "",
        "higher",
        "entropy of the mean predicted class distribution of generated images, 1 is uniform",
        averaged=False,
        first=False,
    ),
    Metric(
        "worst_client_coverage",
        "",
        "higher",
        "the least of client_coverage",
        averaged=False,
        first=False,
    ),
    Metric(
        "label_variation",
        "",
        "lower",
        "total variation of a client's label shares in its generator's images and in its data, "
        "mean over clients",
        averaged=False,
        first=False,
    ),
    Metric(
        "label_correlation",
        "",
        "higher",
        "correlation of the same shares, over all clients and classes",
        averaged=False,
        first=False,
    ),
)
"""In the order of their columns."""
