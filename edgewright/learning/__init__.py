"""How every network here learns: one loop, one checkpoint, one update of the weights.

Decides what a step, a checkpoint and an end of training are; knows no network, no loss and no data. Refuses to go on
from, or to hand out, what is not made of numbers. Law: training cut anywhere and continued gives the same weights and
losses as training that was not cut, bit for bit, on one machine with one number of threads.

    class Slope(OneNetwork[tuple[Tensor, Tensor]]):
        name, next_step = "slope", "lower the learning rate"

        def draw(self, step):                        # data order by seed: of this step, whatever was drawn before
            x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
            return x, 3 * x

        def loss(self, forward, batch):
            x, y = batch
            return (forward(x) - y).square().mean()

    trained = train(Slope(nn.Linear(1, 1), Descent(learning_rate=0.1)), steps=100)
"""
