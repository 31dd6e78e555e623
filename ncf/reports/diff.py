"""The diff of two models in HTML: what changes for users if one model replaces another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ncf.evaluation.diff import Change, Diff, GroupDiff
from ncf.evaluation.summary import ChampionSummary
from ncf.models.ranker import NO_ITEM
from ncf.reports import diff_plots, evaluation_plots
from ncf.reports.html import Marked, Report, Section, Table, Tile, render
from ncf.reports.numbers import bounds, count, decimal, percent

_TITLE = "What changes for users"
_METRICS = {
    "full_ndcg_at_10": "NDCG@10, whole catalogue",
    "full_hr_at_10": "HR@10, whole catalogue",
    "full_recall_at_10": "Recall@10, whole catalogue",
    "ndcg_at_10": "NDCG@10, drawn items",
    "hr_at_10": "HR@10, drawn items",
}
_ITEMS = 12


@dataclass(frozen=True)
class DiffReport:
    """The content of the page.

    Attributes:
        difference: of the lists.
        groups: the same by activity.
        before, after: names of the models.
        metrics: of both models on test positives, or None.
        no_metrics: reason for no metrics; '' if there are some.
        seed: of the users that are shown.
    """

    difference: Diff
    groups: Sequence[GroupDiff]
    before: str
    after: str
    metrics: ChampionSummary | None
    no_metrics: str
    seed: int

    def html(self) -> str:
        """The page: verdict, metrics, overlap, items, groups, users side by side."""
        sections = [self._verdict(), self._metrics()]
        if len(self.difference.users):
            sections += [self._lists(), self._items(), self._users()]
        return render(Report(_TITLE, " → ".join(self.names), sections))

    @property
    def names(self) -> tuple[str, str]:
        """The model before and the model after, with their versions."""
        difference = self.difference
        return (
            f"before: {self.before} (version {difference.before.version})",
            f"after: {self.after} (version {difference.after.version})",
        )

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        users, unchanged = len(self.difference.users), int(self.difference.unchanged.sum())
        if not users:
            return "No user is known to both models"
        if unchanged == users:
            return "No list changes"
        if users - unchanged == 1:
            return f"The list of 1 of {count(users)} users changes"
        return f"The lists of {count(users - unchanged)} of {count(users)} users change"

    def facts(self) -> list[str]:
        """Sentences on the users and items that are compared."""
        found = self.difference
        drawn = f", {count(len(found.users))} of which are drawn" if len(found.users) < found.known_users else ""
        sentences = [
            f"{self.names[0].capitalize()}; {self.names[1]}.",
            "The lists are the first ten items that an endpoint serves: items that a user has interacted with are left "
            "out, as far as each model knows.",
            f"Both models know {count(found.known_users)} users{drawn}. {_only(found)}",
        ]
        if found.seen_since:
            entries = "1 list entry is" if found.seen_since == 1 else f"{count(found.seen_since)} list entries are"
            sentences.append(f"{entries} gone because the user has interacted with the item since.")
        if reordered := int(found.reordered.sum()):
            whose = "The list of 1 user has" if reordered == 1 else f"The lists of {count(reordered)} users have"
            sentences.append(f"{whose} the same items in another order.")
        return sentences

    def tiles(self) -> list[Tile]:
        """Key figures."""
        found = self.difference
        if not len(found.users):
            return []
        coverage = [int((found.exposure(lists) > 0).sum()) for lists in (found.lists_before, found.lists_after)]
        tiles = [
            Tile("Overlap@10", percent(found.overlap.mean(), 0), "mean share of a list that stays"),
            Tile("Same list", percent(found.unchanged.mean()), f"{count(found.unchanged.sum())} users"),
            Tile("All items changed", percent(found.replaced.mean()), f"{count(found.replaced.sum())} users"),
            Tile("Items in the lists", count(coverage[1]), f"before: {count(coverage[0])}"),
        ]
        if self.metrics is not None:
            gain = self.metrics.gains[self.metrics.metric]
            tiles.append(Tile(_METRICS[self.metrics.metric], decimal(gain.mean, True), f"95 %: {bounds(gain, True)}"))
        return tiles

    def metric_table(self) -> Table:
        """A row for each metric; none without metrics."""
        columns, of = ("", "before", "after", "difference", "95 % interval"), self.metrics
        if of is None:
            return Table(columns, [])
        rows = [
            (
                label,
                decimal(of.champion[name].mean),
                decimal(of.model[name].mean),
                decimal(of.gains[name].mean, True),
                bounds(of.gains[name], True),
            )
            for name, label in self._labels(of).items()
        ]
        return Table(columns, rows)

    def _labels(self, of: ChampionSummary) -> dict[str, str]:
        """Metrics that are shown, with labels. With one test item for each user, Recall equals HR."""
        same = of.gains.get("full_recall_at_10") == of.gains.get("full_hr_at_10")
        return {
            name: label
            for name, label in _METRICS.items()
            if name in of.gains and not (same and name == "full_recall_at_10")
        }

    def item_table(self, gains: bool) -> Table:
        """A row for each item that gains, or loses, most lists."""
        rows = [
            (self.difference.title(item), before, after, f"{after - before:+,}")
            for item, before, after in self.difference.changes(_ITEMS, gains)
        ]
        caption = "Items that gain exposure" if gains else "Items that lose exposure"
        return Table(("item", "before", "after", "change"), rows, caption)

    def group_table(self, with_items: bool = True) -> Table:
        """A row for each group by activity, with the items that change most. Empty columns are left out."""
        cells: list[dict[str, object]] = []
        for group in self.groups:
            row: dict[str, object] = {
                "interactions": group.name,
                "users": group.users,
                "overlap": percent(group.overlap, 0),
                "same list": percent(group.unchanged / group.users),
                "all changed": percent(group.replaced / group.users),
            }
            if group.ndcg:
                row |= {"NDCG@10": decimal(group.ndcg.mean, True), "95 % interval": bounds(group.ndcg, True)}
            if with_items and group.gained and group.lost:
                row |= {"gains most": self._change(group.gained), "loses most": self._change(group.lost)}
            cells.append(row)
        columns = list(dict.fromkeys(column for row in cells for column in row))
        return Table(columns, [[row.get(column, "") for column in columns] for row in cells])

    def _change(self, change: Change) -> str:
        return f"{self.difference.title(change.item)} ({change.after - change.before:+,})"

    def _verdict(self) -> Section:
        return Section(self.verdict, self.facts(), self.tiles())

    def _metrics(self) -> Section:
        heading = "Metrics of both models on the same test items"
        if self.metrics is None:
            return Section(heading, [self.no_metrics])
        text = (
            "Each difference is after minus before, paired by user, with its 95 % interval. Test items that the model "
            "before was fitted on, or does not know, are left out."
        )
        chart = evaluation_plots.champion_gains("After minus before", self.metrics.gains, self._labels(self.metrics))
        return Section(heading, [text], tables=[self.metric_table()], charts=[chart])

    def _lists(self) -> Section:
        charts = [diff_plots.overlap(self.difference), diff_plots.groups(self.groups)]
        text = "Groups are quarters of the users by the interactions that the model after was fitted on."
        if any(group.ndcg for group in self.groups):
            text += " NDCG@10 is the difference on the whole catalogue."
        return Section("How much of the lists stays", [text], tables=[self.group_table()], charts=charts)

    def _items(self) -> Section:
        tables = [table for gains in (True, False) if (table := self.item_table(gains)).rows]
        text = "Number of lists with the item."
        if not tables:
            text = "Each item is in as many lists as before."
        return Section("Items that gain and lose", [text], tables=tables)

    def _users(self) -> Section:
        rows = self.difference.examples(self.seed)
        text = (
            "Users are drawn for each number of items that stay, the smallest number first. "
            "+ comes, − goes; ↑ and ↓ say by how many ranks an item moves."
        )
        return Section(f"{len(rows)} users side by side", [text], tables=[self._side_by_side(row) for row in rows])

    def _side_by_side(self, row: int) -> Table:
        found = self.difference
        before, after = (
            [item for item in lists[row].tolist() if item != NO_ITEM]
            for lists in (found.lists_before, found.lists_after)
        )
        left = [
            Marked(found.title(item), "same") if item in after else Marked(f"− {found.title(item)}", "bad")
            for item in before
        ]
        right = [
            Marked(f"{found.title(item)}{_moved(before.index(item) - rank)}", "same")
            if item in before
            else Marked(f"+ {found.title(item)}", "good")
            for rank, item in enumerate(after)
        ]
        user = int(found.users[row])
        interactions = int(found.after.seen.counts()[user])
        caption = f"User {found.after.user_ids[user]}: {found.shared[row]} of {len(after)} items stay"
        titles = ", ".join(map(found.title, found.history(row)))
        order = "the latest" if found.after.seen_days is not None else "among them"
        caption += f"; {count(interactions)} interactions, {order} {titles}" if titles else "; no interactions"
        return Table(("before", "after"), list(zip_longest(left, right, fillvalue="")), caption)


def absence_page(reason: str) -> str:
    """The page of a model that is compared with none.

    Args:
        reason: for no comparison.
    """
    text = [reason, "The page compares the lists that a model serves with those of the model that it would replace."]
    return render(Report(_TITLE, sections=[Section("There is no other model to compare with", text)]))


def _moved(ranks: int) -> str:
    return f" {'↑' if ranks > 0 else '↓'}{abs(ranks)}" if ranks else ""


def _only(found: Diff) -> str:
    texts = [
        f"{count(number)} {'is' if number == 1 else 'are'} known to the model {when} only"
        for number, when in ((found.only_before, "before"), (found.only_after, "after"))
        if number
    ]
    if not texts:
        return "No user is known to one of them only."
    return f"Of other users, {' and '.join(texts)}; the other model serves them popular items."
