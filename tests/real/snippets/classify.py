"""Fit a model there and use it here: scikit-learn."""

from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from clustrix import cluster

X, y = make_classification(n_samples=300, n_features=8, n_informative=4, random_state=3)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=3)


@cluster(memory="800MB")
def fitted(trees):
    model = RandomForestClassifier(n_estimators=trees, random_state=3).fit(X_train, y_train)
    return model, round(model.score(X_test, y_test), 4)


if __name__ == "__main__":
    forest, score = fitted(10)
    print(type(forest).__name__, len(forest.estimators_), score)
    print(forest.predict(X_test[:10]).tolist(), forest.score(X_test, y_test) > 0.8)
