"""Federated fine-tuning of vision foundation models: which way works best for every hospital?

The rooms of this house, which are folders, and the modules between them, the upper ones first. Each imports from the
lines below its own and from none above; only `models`, `tasks` and `data`, on one floor, import each other.

What people type
    __main__     `python -m benchmark COMMAND`: what is no job of the workflow.
    commands     Its commands, one module each: check, doctor, publish, status, ...
    publishing   A finished comparison as one folder or archive that others can check.
    status       How far a comparison is, and how long the rest takes.
    contract     The rules that every method and adaptation keeps: `check` and the tests apply them.

What Snakemake asks
    plan         What there is to do, and where everything stands.
    fitness      Whether a configuration fits the datasets, tasks, networks and methods that there are.
    last_run     What the last run was given on its command line.
    stale        Locks of a Snakemake that was killed.
    preserve     What a job made stays until it is made anew.
    scheduling   How often Snakemake looks which jobs can start.

From runs to a report
    baselines    Rows that are kept with the project, and taken again instead of being trained.
    reporting    Tables, figures, leaderboard and report, from files alone.
    gallery      The names of all figures.
    evaluation   From runs to scores: selection, tests, intervals, ranks, checks, hospitals outside.

Training
    federation   The engine: rounds, lanes, clients, server, store; and how models adapt to a hospital outside.
    counted      What predictions of samples are worth, as a table.
    models       Networks whose trained tensors are leaves, and their pretrained weights.
    tasks        What is learned: losses, predictions, scores.
    data         Datasets, their splits, and the packed arrays that are read.
    draws        Random draws that depend on what they are for and on nothing else.
    exact        Arithmetic that is equal to the bit on every CPU.

What methods and adaptations are written with
    adaptation   The contract of adaptations.
    method       The contract of methods.
    entropy      How undecided predictions are.
    leaf         Tensors that are trained or carried, and what the network says about each.

What is compared
    adaptations  Which adaptations there are.
    methods      Which methods there are.
    federations  The federations that a configuration means.
    comparison   Which rows there are, and where everything of them stands.
    config       The configuration.
    settings     What of it training depends on.

Tools
    device       A GPU for one job.
    job          The entry of every job and command.
    archive      Archives that are equal to the byte.
    provenance   What ran, on what.
    defined      The one class that a file defines.
    disk         Bytes on the disk.
    errors       Errors as people read them.
    files        Files that are either whole or absent.
    lock         Locks that end with their holder.
    sources      Which files a job runs, and a fingerprint of what they compute.
"""
