from fluxori.devtools.bench.figures import Figure, Figures, line, table


def figures(**measured):
    made = Figures(lambda _: None)
    for name, values in measured.items():
        made.add("section", name, "/s", values)
    return made


class TestFigure:
    def test_is_the_median_of_its_repeats_and_says_how_far_they_lie_apart(self):
        figure = Figure("section", "name", "/s", (90, 100, 130))

        assert (figure.median, figure.spread) == (100, 0.4)
        assert line(figure).split() == ["name", "100", "/s", "±20%"]

    def test_says_whether_what_is_asked_of_it_was_reached(self):
        asked = [
            Figure("ratios", "name", "", (0.6,), goal).reached
            for goal in (None, ("at least", 0.6), ("at least", 0.61), ("at most", 0.6), ("at most", 0.59))
        ]

        assert asked == [None, True, False, True, False]
        assert line(Figure("ratios", "name", "", (0.5,), ("at least", 0.6))).endswith("at least 0.6: no")


class TestRatio:
    def test_is_taken_repeat_by_repeat(self):
        made = figures(fast=[10, 40, 90], slow=[10, 20, 30])

        made.ratio("fast ÷ slow", ("section", "fast"), ("section", "slow"))

        assert made.found[-1].values == (1, 2, 3)

    def test_is_left_out_where_one_of_the_two_was_not_measured(self):
        made = figures(fast=[10])

        made.ratio("fast ÷ slow", ("section", "fast"), ("section", "slow"))

        assert [figure.name for figure in made.found] == ["fast"]

    def test_stands_in_the_table_below_the_sections(self):
        made = figures(fast=[20], slow=[10])
        made.ratio("fast ÷ slow", ("section", "fast"), ("section", "slow"), ("at least", 2))

        told = table(made.found).split("\n")

        assert [words.strip() for words in told if words.startswith(("section", "ratios"))] == ["section", "ratios"]
        assert told[-1].startswith("  fast ÷ slow")
