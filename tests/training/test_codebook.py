import torch

from limner.training._codebook import Codebook, k_means, nearest, tokens


def book(codes, **options):
    embedding = torch.nn.Embedding(*codes.shape)
    embedding.weight.data.copy_(codes)
    return Codebook(embedding, **options)


def clouds(seed=0):
    """90 points around each of four corners, (360, 2)."""
    torch.manual_seed(seed)
    corners = torch.tensor([[0.0, 0], [0, 9], [9, 0], [9, 9]])
    return (corners[:, None] + 0.3 * torch.randn(4, 90, 2)).flatten(0, 1), corners


def test_k_means_is_scipy_s():
    from scipy.cluster.vq import kmeans2

    points, _ = clouds()
    torch.manual_seed(1)
    found = k_means(points, 12, rounds=7)
    torch.manual_seed(1)
    begun = points[torch.randperm(len(points))[:12]]
    wanted, _ = kmeans2(points.numpy(), begun.numpy(), iter=7, minit="matrix")
    torch.testing.assert_close(found, torch.from_numpy(wanted))


def test_k_means_leaves_no_code_idle():
    """Most vectors are one and the same, and codes that begin there are one and the same."""
    corners = clouds()[1]
    torch.manual_seed(1)
    found = k_means(torch.cat([corners[:1].expand(90, 2), corners]), 4)
    assert nearest(corners, found)[1].max() < 1e-6


def test_the_nearest_code_is_what_diffusers_finds():
    from diffusers.models.autoencoders.vae import VectorQuantizer

    torch.manual_seed(0)
    theirs = VectorQuantizer(40, 6, beta=0.25)
    theirs.embedding.weight.data.normal_()
    z = torch.randn(2, 6, 5, 4)
    quantised, _, (_, _, wanted) = theirs(z)
    code, index = Codebook(theirs.embedding)(z)
    assert torch.equal(index, wanted)
    torch.testing.assert_close(code, quantised)


def test_codes_are_the_averages_of_the_steps():
    """van den Oord et al. 2017, eq. 6 to 8, written out with counts instead of shares."""
    torch.manual_seed(0)
    codes = torch.randn(5, 3)
    made, count, total = book(codes, keep=0.9, idle=0.0), torch.full((5,), 4.0), 4 * codes.clone()
    for _ in range(3):
        z = torch.randn(2, 3, 2, 5)
        _, index = made(z)
        flat = z.permute(0, 2, 3, 1).reshape(-1, 3)
        assert torch.equal(tokens(z), flat)
        for code in range(5):
            mine = flat[index == code]
            count[code] = 0.9 * count[code] + 0.1 * len(mine)
            total[code] = 0.9 * total[code] + 0.1 * mine.sum(0)
        assert made.follow(z) == 0
        torch.testing.assert_close(made.codes.data, total / count[:, None])
    assert not made.codes.requires_grad


def test_dead_codes_are_revived_where_one_is_missing():
    points, corners = clouds()
    codes = torch.cat([corners[:2], torch.full((6, 2), 500.0)])  # one can be near, six are dead
    made = book(codes, keep=0.9, idle=0.05)
    z = points.t().reshape(1, 2, 18, 20)
    before = made(z)[1].unique().numel()
    torch.manual_seed(2)
    revived = sum(int(made.follow(z)) for _ in range(60))
    _, index = made(z)
    assert before == 2 and revived >= 6
    assert index.unique().numel() >= 7
    assert nearest(corners, made.codes)[1].max() < 1


def test_without_restarts_they_stay_dead():
    points, corners = clouds()
    made = book(torch.cat([corners[:2], torch.full((6, 2), 500.0)]), keep=0.9, idle=0.0)
    z = points.t().reshape(1, 2, 18, 20)
    assert sum(int(made.follow(z)) for _ in range(60)) == 0
    assert made(z)[1].unique().numel() == 2
