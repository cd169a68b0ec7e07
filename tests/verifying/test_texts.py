"""Where two texts differ: the line and the smallest part of it."""

from benchmarks.verifying.texts import differences

TABLE = (
    "### Accuracy\n\n| method | ω 1 |\n| --- | ---: |\n| fedavg | 80.2 ± 0.4 |\n| local | 60.5 |\n"
)


def found(here: str, again: str, is_csv: bool = False) -> list[str]:
    return [str(difference) for difference in differences(here, again, is_csv)]


def test_a_number_in_a_table_is_named_with_its_line_row_and_both_values():
    [text] = found(TABLE.replace("80.2", "89.2"), TABLE)
    assert text == "line 5 (column 2 of fedavg): '89.2 ± 0.4', and the records give '80.2 ± 0.4'"


def test_a_number_in_a_csv_file_is_named_with_its_column():
    csv = 'label,accuracy,n\n"a, b",0.5,3\n'
    [text] = found(csv.replace("0.5", "0.6"), csv, is_csv=True)
    assert text == "line 2 (accuracy): '0.6', and the records give '0.5'"


def test_a_number_in_a_note_is_named_alone():
    [text] = found("- Power: 3 seeds, 14.3 points.\n", "- Power: 3 seeds, 13.0 points.\n")
    assert text == "line 1: '14.3', and the records give '13.0'"


def test_lines_that_only_one_has_are_named():
    [text] = found(TABLE + "| mine | 99.9 |\n", TABLE)
    assert text == "line 7: '| mine | 99.9 |' is not what the records give"
    [text] = found(TABLE.replace("| local | 60.5 |\n", ""), TABLE)
    assert text == "before line 6 the records also give '| local | 60.5 |'"


def test_line_ends_of_another_system_are_no_difference():
    assert found(TABLE.replace("\n", "\r\n"), TABLE) == []
