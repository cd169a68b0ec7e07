"""The columns of a record that are not metrics, and what each means."""

BEFORE_METRICS = {
    "suite": "name of the suite that the cell belongs to",
    "cell": "16 hex digits: the hash of what determines the cell's numbers",
    "label": "the method's name in tables, e.g. mosaic-cvae",
    "method": "the method's name in METHODS, e.g. mosaic",
    "status": "done, failed, skipped, or missing: the cell has no record",
    "dataset": "name of the data set",
    "omega": "Dirichlet concentration of the partition; inf: all clients have the pool's labels",
    "n_clients": "number of clients",
    "widths": "full, mixed, or the list of the clients' widths",
    "seed": "fixes the partition, the initial weights and all random draws",
    "scale": "quick, laptop or paper",
    "round": "the round that the row was scored after",
    "selection": "which choices of a round pick this row: last, validation, oracle, joined by +",
}
"""The columns that come before the metrics in every records.csv."""

AFTER_METRICS = {
    "partition": "name of the file in partitions/ that says which client holds what",
    "reason": "why the cell failed or was skipped",
    "warnings": 'diagnostics out of bounds, joined by "; " (a JSON list if a text has "; ")',
}
"""The columns that come after the metrics in every records.csv; all others follow by name."""

OTHER_COLUMNS = {
    "grid": "label of the suite's entry whose grid the cell is a point of; empty for other cells",
    "grid_settings": "names of that grid's settings, separated by spaces",
    "tuned_settings": "settings whose values are the scale's tuned ones, separated by spaces",
    "tuned_trials": "number of trials that they were chosen from; 0 if there are none",
    "class_accuracy": "test accuracy per class, separated by spaces; nan: no images of the class",
    "client_coverage": "per client, share of its classes that its generator draws; with spaces",
    "client_own_share": "per client, share of its generator's images in its classes; with spaces",
    "client_duplicates": "per client, share of near-duplicates among its generator's images; with "
    "spaces",
    "client_nearest_real": "per client, median distance in pixels of its generator's images to the "
    "nearest of its own; 1: as its own to each other, 0: copies; with spaces",
    "collapsed_clients": "clients with a coverage below 0.9 or a share below 0.5; with spaces",
    "notes": "remarks on how the generated images were scored, joined as warnings are",
    "data": "fingerprint of the training images and labels; part of the cell's key",
    "test_data": "fingerprint of the test images and labels; part of the cell's key",
    "data_place": "where the data set was found, on the machine that ran the cell",
    "traceback": "of a failed cell",
    "protocol": "when what the method adds is sent: every round, once, after the rounds, ...",
    "needs": "what the method uses beyond models, separated by commas",
    "data_free": "true if nothing of that is data",
    "student": "weights that the server's training starts from",
    "student_norms": "what the server's training does with BatchNorm's running statistics",
    "tunable": "settings that are tuned where all methods are tuned alike, separated by spaces",
    "precision": "fp32 or bf16",
    "threads": "CPU threads per cell; they determine the order of sums",
    "budget": "what the numbers of steps come from: equal or paper",
    "client_budget": "what clients may compute, in multiples of FedAvg's local training (equal)",
    "server_budget": "what the server may compute, in the same unit (equal)",
    "client_work": "share of its paper's images that a method is given at the clients (paper)",
    "server_work": "share of its paper's images that a method is given at the server (paper)",
    "client_spent": "what the clients compute beyond local training, in the unit of the budgets",
    "server_spent": "what the server computes, in the unit of the budgets",
    "client_share": "images that the clients' generators learn from, as a share of the paper's",
    "server_share": "images that the server's student learns from, as a share of the paper's",
    "client_widths": "width of each client's model, separated by spaces",
    "device": "cpu, or the name of the GPU",
    "processor": "model name of the processor",
    "kernels": "compiled or torch: the implementation of the fused BatchNorm",
    "torch": "version of PyTorch",
    "torchvision": "version of torchvision",
    "numpy": "version of NumPy",
    "python": "version of Python",
    "version": "version of this package",
    "commit": "git commit of this project; + if files differed from it; empty outside a checkout",
}
"""Columns that are neither metrics nor in every records.csv."""

PREFIXES = {
    "task.": "the other settings of the task, by their names in Task",
    "config.": "the method's settings, by their names in its Config",
    "upload_bytes_": "upload_bytes by kind of payload (model, counts, generator, ...)",
    "download_bytes_": "download_bytes by kind of payload",
    "steps_": "batches that went through networks, by kind of work (train: local steps)",
    "flops_": "flops by kind of work",
    "stage_s_": "stage_s by stage",
    "diag_": "a method's diagnostics, by their names in its snapshots",
    "accuracy_": "test accuracy of a further model of the method, by its name in the snapshot",
    "partition_": "how heterogeneous the partition is, from its certificate",
}
"""Columns whose names depend on the method, by what they begin with; <prefix><name>."""
